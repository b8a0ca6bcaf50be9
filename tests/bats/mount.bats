#!/usr/bin/env bats
# ringfs: a real mount of a real cluster, used with ordinary tools.

load lib

setup() {
    start_cluster 3
    start_mount
    cd "$MNT" || return 1
}

teardown() {
    cd / || true
    stop_cluster
}

# A tree with subdirectories, links, empty and large files, from what every machine has.
make_tree() { # DIR
    mkdir -p "$1/sub/deep/er" "$1/empty"
    for i in $(seq 100); do echo "file $i" >"$1/sub/f$i"; done
    head -c 3000000 /dev/urandom >"$1/large"
    head -c 65536 /dev/urandom >"$1/block"
    head -c 4096 /dev/urandom >"$1/inline"
    head -c 4097 /dev/urandom >"$1/beyond"
    : >"$1/nothing"
    ln -s sub/f1 "$1/link"
    ln -s nowhere "$1/dangling"
    chmod 4750 "$1/block"
    touch -d '1969-07-20 20:17:40.123456789 UTC' "$1/inline"
    touch -d '2107-01-01 00:00:00.5 UTC' "$1/beyond"
}

# ---- contents ----

@test "echo and cat" {
    echo hello >f
    [ "$(cat f)" = hello ]
    echo more >>f
    [ "$(cat f)" = "hello
more" ]
    echo new >f
    [ "$(cat f)" = new ]
    : >f
    [ "$(stat -c %s f)" -eq 0 ]
}

@test "a tree copied with cp -a is the same, with its modes and times" {
    make_tree "$BASE/tree"
    cp -a "$BASE/tree" copy
    diff -r --no-dereference "$BASE/tree" copy
    list() { (cd "$1" && find . -printf '%p %y %m %U %G %l %T@ %s\n' | sed '/ d /s/ [0-9]*$//' | sort); }
    diff <(list "$BASE/tree") <(list copy)
}

@test "git init, add, commit, clone, fsck" {
    make_tree tree
    cd tree
    git init -q .
    git add -A
    git -c user.name=a -c user.email=a@b commit -qm first
    git fsck
    [ -z "$(git status --porcelain)" ]
    git clone -q . ../clone
    git -C ../clone fsck
    cmp large ../clone/large
}

@test "tar in and out" {
    make_tree "$BASE/tree"
    tar -C "$BASE" -cf "$BASE/tree.tar" tree
    tar -xf "$BASE/tree.tar"
    tar -df "$BASE/tree.tar"
    tar -cf again.tar tree
    tar -df again.tar
}

@test "a large file comes back as it went, and never sits in the mount's memory" {
    head -c 256M /dev/urandom >"$BASE/large"
    pid=$(worker_pid)
    cp "$BASE/large" large
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$BASE/large" large
    peak=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status")
    echo "peak $peak KiB"
    [ "$peak" -lt 131072 ]
}

@test "truncate, extend, append and holes" {
    head -c 200000 /dev/urandom >"$BASE/f"
    cp "$BASE/f" f
    for size in 150000 131072 131073 65536 300000 4096 4097 5000 10 100000 0 70000; do
        truncate -s $size "$BASE/f" f
        cmp "$BASE/f" f
    done
    for i in $(seq 50); do
        head -c 3000 /dev/urandom | tee -a "$BASE/f" >>f
    done
    cmp "$BASE/f" f
    truncate -s 1T hole
    echo end >>hole
    [ "$(stat -c %s hole)" -eq $((1024 ** 4 + 4)) ]
    [ "$(tail -c 4 hole)" = end ]
    printf x | dd of=f bs=1 seek=1000 conv=notrunc status=none
    printf x | dd of="$BASE/f" bs=1 seek=1000 conv=notrunc status=none
    cmp "$BASE/f" f
}

@test "all lines of loops that append by two mounts arrive" {
    start_mount "$BASE/second"
    (for i in $(seq 60); do echo "mnt $i" >>"$BASE/mnt/log"; done) 3>&- &
    other=$!
    for i in $(seq 60); do echo "second $i" >>"$BASE/second/log"; done
    wait $other
    [ "$(sort "$BASE/second/log" | uniq | wc -l)" -eq 120 ]
    [ "$(wc -l <"$BASE/second/log")" -eq 120 ]
}

@test "an unlinked file works until it is closed" {
    head -c 200000 /dev/urandom >"$BASE/f"
    cp "$BASE/f" f
    exec 4<>f
    rm f
    [ ! -e f ]
    echo tail >&4
    (echo tail; tail -c +6 "$BASE/f") | cmp - /proc/self/fd/4
    [ "$(stat -Lc %h /proc/self/fd/4)" -eq 0 ]
    exec 4>&-
}

@test "what one mount has closed the other reads, at once" {
    start_mount "$BASE/second"
    second=$BASE/second
    echo one >"$MNT/../mnt/f"
    for i in $(seq 30); do
        echo "round $i" >"$BASE/mnt/f"
        [ "$(cat "$second/f")" = "round $i" ]
        head -c $((i * 5000)) /dev/urandom >"$second/g"
        cmp "$second/g" "$BASE/mnt/g"
    done
}

# ---- names ----

@test "rename within and across directories, over files, and of directories" {
    mkdir a b
    echo 1 >a/f
    echo 2 >b/g
    mv a/f a/h
    mv a/h b/f
    mv b/f b/g
    [ "$(cat b/g)" = 1 ]
    mv b a/
    [ "$(cat a/b/g)" = 1 ]
    [ "$(ls a)" = b ]
    run mv a a/b/
    [ "$status" -ne 0 ]
    mv -n a/b/g a/b
    mkdir full && touch full/x empty_not && mkdir empty
    run mv -T empty full
    [ "$status" -ne 0 ]
    mv -T full empty
    [ -e empty/x ]
}

@test "symlinks, fifos and odd names" {
    ln -s /etc/hostname absolute
    [ "$(readlink absolute)" = /etc/hostname ]
    mkfifo pipe
    (echo through >pipe) 3>&- &
    [ "$(cat pipe)" = through ]
    wait $!
    name=$(printf 'n%.0s' $(seq 255))
    echo x >"$name"
    [ "$(cat "$name")" = x ]
    run touch "${name}n"
    [ "$status" -ne 0 ]
    [[ "$output" == *"too long"* ]]
    odd=$'new\nline \\ * \xff'
    echo y >"$odd"
    [ "$(cat "$odd")" = y ]
    rm "$odd"
}

@test "permissions are the kernel's, by owner and mode" {
    echo secret >f
    chmod 600 f
    chmod 755 .
    run setpriv --reuid 12345 --regid 12345 --clear-groups cat f
    [ "$status" -ne 0 ]
    [[ "$output" == *"Permission denied"* ]]
    chown 12345:12345 f
    [ "$(setpriv --reuid 12345 --regid 12345 --clear-groups cat f)" = secret ]
    mkdir -m 2775 shared
    chgrp 4321 shared
    touch shared/f
    [ "$(stat -c %g shared/f)" -eq 4321 ]
    chmod 6755 f
    chown 0 f
    [ "$(stat -c %a f)" = 755 ]
}

@test "a listing survives deletions, and a large directory is listed once and whole" {
    mkdir d
    (cd d && seq 3000 | xargs touch)
    [ "$(find d -type f | wc -l)" -eq 3000 ]
    # shellcheck disable=SC2012 # the listing is what is tested
    [ "$(ls -U d | sort -n | uniq | wc -l)" -eq 3000 ]
    rm -r d
    [ ! -e d ]
}

@test "statfs tells a size" {
    # shellcheck disable=SC2016 # the inner shell expands
    wait_for 10 sh -c 'test "$(stat -fc %b .)" -gt 1000'
    df . | grep -qF "$MNT"
}

@test "statfs tells a size when a node was down from the start" {
    kill_node 3
    start_mount "$BASE/second"
    wait_for 15 sh -c "test \"\$(stat -fc %b '$BASE/second')\" -gt 1000"
}

@test "a hundred small operations look as on a local disk" {
    mkdir "$BASE/local"
    chmod 755 "$BASE"
    "$BATS_TEST_DIRNAME/posix_compare.py" "$MNT" "$BASE/local"
}

# ---- faults ----

@test "one node killed during cp -r: the copy completes and is identical, and the node comes back" {
    make_tree "$BASE/tree"
    for i in 1 2 3; do cp -r "$BASE/tree" "$BASE/tree/copy$i" 2>/dev/null || true; done
    (sleep 0.5; kill -KILL "$(node_pid 2)") 3>&- &
    cp -r "$BASE/tree" copy
    wait $!
    wait_for 5 node_ended 2
    diff -r --no-dereference "$BASE/tree" copy
    start_node 2
    echo after >f
    kill_node 1
    [ "$(cat f)" = after ]
    diff -r --no-dereference "$BASE/tree" copy
}

@test "two nodes killed: EIO within the deadline, nothing hangs, and it works again by itself" {
    stop_mount_now() { cd / && stop_mount; }
    stop_mount_now
    start_mount "$BASE/mnt" -o timeo=2,mode=strict
    cd "$MNT"
    echo before >f
    kill_node 2
    kill_node 3
    SECONDS=0
    run bash -c 'echo x >f'
    [ "$status" -ne 0 ]
    [[ "$output" == *"Input/output error"* ]]
    run cat f
    [ "$status" -ne 0 ]
    stat . >/dev/null
    df . >/dev/null
    [ $SECONDS -le 12 ]
    start_node 2
    wait_for 10 bash -c 'echo again >f'
    [ "$(cat f)" = again ]
    grep -q 'op=.* path=.* err=' "$BASE/mount.log"
}

@test "a program that waits for the cluster can be interrupted" {
    echo before >f
    kill_node 2
    kill_node 3
    SECONDS=0
    run timeout -s INT 1 cat f
    [ $SECONDS -le 4 ]
}

@test "what was written before every node is killed is there when they are back" {
    make_tree tree
    sync
    (cd tree && find . -type f -exec sha256sum {} + | sort) >"$BASE/sums"
    for i in 1 2 3; do kill_node $i; done
    for i in 1 2 3; do launch_node $i; done
    for i in 1 2 3; do wait_for 20 node_serves $i; done
    (cd tree && find . -type f -exec sha256sum {} + | sort) | diff "$BASE/sums" -
}

# ---- mounting ----

@test "a remount finds everything, with the same inode numbers" {
    make_tree tree
    find . -printf '%p %i %s %T@\n' | sort >"$BASE/before"
    cd /
    stop_mount
    start_mount
    cd "$MNT"
    find . -printf '%p %i %s %T@\n' | sort | diff "$BASE/before" -
}

@test "umount leaves nothing behind, and SIGTERM writes what is buffered and unmounts" {
    pid=$(mount_pid)
    grep -q " $MNT fuse.ringfs " /proc/mounts
    exec 4>f
    echo one >&4
    echo two >&4
    kill -TERM "$pid"
    wait_for 15 process_ended "$pid"
    exec 4>&- || true
    cd /
    run grep -qF " $MNT " /proc/mounts
    [ "$status" -ne 0 ]
    start_mount
    [ "$(cat "$MNT/f")" = "one
two" ]
    pid=$(mount_pid)
    stop_mount
    process_ended "$pid"
    run grep -qF " $MNT " /proc/mounts
    [ "$status" -ne 0 ]
}

@test "a dead mount is cleared by mounting again" {
    echo x >f
    cd /
    kill -KILL "$(mount_pid)" "$(worker_pid)"
    run cat "$MNT/f"
    [ "$status" -ne 0 ]
    start_mount
    [ "$(cat "$MNT/f")" = x ]
}

@test "read-only means EROFS" {
    echo x >f
    cd /
    stop_mount
    start_mount "$BASE/mnt" -o ro
    [ "$(cat "$MNT/f")" = x ]
    run touch "$MNT/g"
    [[ "$output" == *"Read-only"* ]]
}

@test "bad usage is 1 and a cluster that does not answer is 32, with a sentence" {
    run "$BUILD/fs/ringfs" ipc:///x "$MNT" -o timo=3
    [ "$status" -eq 1 ]
    [[ "$output" == *"did you mean timeo"* ]]
    run "$BUILD/fs/ringfs" "ipc://$BASE/nobody" "$BASE" -o timeo=1 3>&-
    [ "$status" -eq 32 ]
    [[ "$output" == *"does not answer"* ]]
    run "$BUILD/fs/ringfs" "ipc://$BASE/s1" "$BASE/missing" 3>&-
    [ "$status" -eq 32 ]
    [[ "$output" == *"No such file"* ]]
}
