#!/usr/bin/env bats
# ringfs: files with several names, on one mount and on two, with the tools that make them.

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

links() { stat -c %h "$1"; }
links_are() { [ "$(links "$1")" -eq "$2" ]; } # FILE N
inode() { stat -c %i "$1"; }

# Files of one, two and three names, in several directories, small and large, and a linked symlink.
make_linked_tree() { # DIR
    mkdir -p "$1/a/deep" "$1/b"
    echo small >"$1/a/small"
    head -c 300000 /dev/urandom >"$1/a/large"
    echo alone >"$1/a/alone"
    ln "$1/a/small" "$1/b/small"
    ln "$1/a/large" "$1/b/large"
    ln "$1/a/large" "$1/a/deep/third"
    ln -s small "$1/a/symlink"
    ln "$1/a/symlink" "$1/b/symlink"
}

# Each name with how many its file has, and the names that share a file.
list_linked() { # DIR
    (cd "$1" && find . ! -type d -printf '%p %y %n %s\n' | sort &&
        find . ! -type d -printf '%i %p\n' | sort -k1,1 -k2 |
        awk '$1 != last { printf "\n" } { last = $1; printf "%s ", $2 }' | sort)
}

@test "ln gives a file a second name: one inode, one count, one contents" {
    mkdir d e
    echo one >d/a
    ln d/a e/b
    ln e/b third
    [ "$(links d/a)" -eq 3 ]
    [ "$(links third)" -eq 3 ]
    [ "$(inode d/a)" = "$(inode e/b)" ]
    echo two >>e/b
    [ "$(cat d/a third | sort | uniq -c | awk '{ print $1 $2 }' | xargs)" = "2one 2two" ]
    chmod 640 third
    [ "$(stat -c %a d/a)" = 640 ]
    [ "$(find . -samefile d/a | wc -l)" -eq 3 ]
    [ "$(find . -links 3 | wc -l)" -eq 3 ]
    run ln d/a e/b
    [[ $output == *"File exists"* ]]
    run ln d e/d
    [ "$status" -ne 0 ]
}

@test "names go one by one, and the file with the last" {
    mkdir d e
    head -c 200000 /dev/urandom >"$BASE/f"
    cp "$BASE/f" d/a
    ln d/a e/b
    rm d/a
    [ "$(links e/b)" -eq 1 ]
    cmp "$BASE/f" e/b
    mv e/b d/c
    [ "$(links d/c)" -eq 1 ]
    cmp "$BASE/f" d/c
    ln d/c d/a
    [ "$(links d/a)" -eq 2 ]
    rm d/a d/c
    rmdir d e
}

@test "a file that is open loses one name, then the last, and goes on" {
    head -c 100000 /dev/urandom >"$BASE/f"
    cp "$BASE/f" a
    ln a b
    exec 5<>a 6>&-
    rm a
    [ "$(stat -L -c %h /proc/self/fd/5)" -eq 1 ]
    echo changed >&5
    [ "$(head -n 1 b)" = changed ]
    rm b
    [ "$(stat -L -c %h /proc/self/fd/5)" -eq 0 ]
    echo again >&5
    [ "$(head -c 14 /proc/self/fd/5)" = "changed
again" ]
    exec 5>&-
}

@test "a rename over another name of the same file leaves both, as rename(2) says" {
    mkdir d
    echo one >a
    ln a d/b
    python3 -c 'import os; os.rename("a", "d/b")'
    [ "$(links a)" -eq 2 ]
    echo other >c
    mv c d/b
    [ "$(links a)" -eq 1 ]
    [ "$(cat a d/b)" = "one
other" ]
    ln a d/again
    mv d/again e
    [ "$(links e)" -eq 2 ]
    [ "$(cat e)" = one ]
}

@test "cp -a and tar keep links, rsync -aH twice transfers nothing the second time" {
    make_linked_tree "$BASE/tree"
    list_linked "$BASE/tree" >"$BASE/want"
    cp -a "$BASE/tree" copy
    diff "$BASE/want" <(list_linked copy)
    tar -C "$BASE" -cf "$BASE/tree.tar" tree
    tar -xf "$BASE/tree.tar"
    diff "$BASE/want" <(list_linked tree)
    tar -df "$BASE/tree.tar"
    tar -cf "$BASE/again.tar" tree
    mkdir "$BASE/again"
    tar -C "$BASE/again" -xf "$BASE/again.tar"
    diff "$BASE/want" <(list_linked "$BASE/again/tree")
    if command -v rsync; then
        rsync -aH "$BASE/tree/" synced/
        diff "$BASE/want" <(list_linked synced)
        [ -z "$(rsync -aH --itemize-changes "$BASE/tree/" synced/)" ]
    fi
    rm -r copy tree
    [ -z "$(ls -A copy tree 2>/dev/null)" ]
}

@test "git clone --local links its objects" {
    git init -q repo
    for i in $(seq 20); do echo "$i" >"repo/f$i"; done
    git -C repo add -A
    git -C repo -c user.name=a -c user.email=a@b commit -qm first
    git clone -q --local repo clone
    git -C clone fsck
    object=$(cd repo/.git/objects && find . -type f | head -n 1)
    [ "$(inode "repo/.git/objects/$object")" = "$(inode "clone/.git/objects/$object")" ]
    rm -rf repo
    git -C clone fsck
    [ -z "$(git -C clone status --porcelain)" ]
}

@test "two mounts: linked on one, changed and unlinked on the other" {
    start_mount "$BASE/second"
    other=$BASE/second
    mkdir d
    echo one >d/a
    [ "$(cat "$other/d/a")" = one ]
    exec 5<>"$other/d/a"
    ln d/a b
    rm d/a
    # The other mount had it open under the name that is gone.
    echo two >&5
    exec 5>&-
    [ "$(cat b)" = two ]
    [ "$(links "$other/b")" -eq 1 ]
    ln "$other/b" "$other/d/c"
    [ "$(links "$other/b")" -eq 2 ]
    wait_for 5 links_are b 2
    rm "$other/b"
    [ "$(cat d/c)" = two ]
    rm d/c
    wait_for 5 test ! -e "$other/d/c"
    [ "$(find "$other" -type f | wc -l)" -eq 0 ]
}

@test "a file that another mount removes is read on by who has it open" {
    start_mount "$BASE/second"
    head -c 3000000 /dev/urandom >"$BASE/f"
    cp "$BASE/f" f
    echo small >s
    exec 5<"$BASE/second/f" 6<"$BASE/second/s"
    rm f s
    wait_for 5 test ! -e "$BASE/second/f"
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$BASE/f" - <&5
    [ "$(cat <&6)" = small ]
    [ "$(stat -L -c %s /proc/self/fd/5)" -eq 3000000 ]
    exec 5<&- 6<&-
}

@test "special files can have several names; a file more than a thousand cannot" {
    mkfifo p
    ln p q
    (echo through >p) 3>&- &
    [ "$(timeout 10 cat q)" = through ]
    wait $!
    python3 - <<'PYTHON'
import errno, os
os.mkdir("many")
open("f", "w").close()
for i in range(999):
    os.link("f", "many/%d" % i)
assert os.stat("f").st_nlink == 1000
try:
    os.link("f", "many/more")
    raise SystemExit("no bound")
except OSError as e:
    assert e.errno == errno.EMLINK, e
PYTHON
    rm -r many
    [ "$(links f)" -eq 1 ]
}

@test "renameat2 exchanges names of one directory and of two, files and directories" {
    exchange() {
        python3 - "$1" "$2" <<'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(p) for p in sys.argv[1:])
if libc.renameat2(-100, a, -100, b, 2) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
PYTHON
    }
    start_mount "$BASE/second"
    mkdir d e d/sub
    echo one >d/a
    echo two >e/b
    echo three >d/sub/c
    ln d/a third
    exchange d/a e/b
    [ "$(cat d/a e/b third)" = "two
one
one" ]
    exchange d/sub e/b
    [ "$(cat e/b/c d/sub)" = "three
one" ]
    [ "$(cat "$BASE/second/e/b/c" "$BASE/second/d/sub")" = "three
one" ]
    run exchange d d/a
    [[ $output == *"Invalid argument"* ]]
    [ "$(links third)" -eq 2 ]
}
