#!/usr/bin/env bats
# ringfs as mount(8) and fstab see it: types, options, part of a tree, exit codes, and a mount whose nodes do not answer.

load lib

setup() {
    start_cluster 3
    SOURCE=$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)
    MNT=$BASE/mnt
    mkdir "$MNT"
    # shellcheck disable=SC2034 # stop_cluster looks at it
    MOUNTS=("$MNT")
}

teardown() {
    pause_nodes CONT
    stop_cluster
}

pause_nodes() { # STOP or CONT
    local i
    for i in "${!PIDS[@]}"; do kill -"$1" "${PIDS[$i]}" 2>/dev/null || true; done
    [ "$1" != STOP ] || let_leases_end
}

mounted() { grep -qF " $MNT fuse.ringfs " /proc/mounts; }
not_mounted() { [ "$(grep -cF " $MNT fuse.ringfs " /proc/mounts)" = 0 ]; }

# Runs commands where the programs are installed: in a private view of /usr.
with_installed() { # COMMANDS
    mkdir -p "$BASE/upper/bin" "$BASE/upper/sbin"
    ln -sf "$BUILD/fs/ringfs" "$BASE/upper/bin/ringfs"
    ln -sf "$BUILD/fs/ringfs" "$BASE/upper/sbin/mount.ringfs"
    cat >"$BASE/inside" <<END
set -e
mount -t overlay -o "lowerdir=$BASE/upper:/usr" overlay /usr || exit 99
mounted() { grep -qF " $MNT fuse.ringfs " /proc/mounts; }
$1
END
    local status=0
    unshare -m bash "$BASE/inside" 3>&- || status=$?
    [ $status -ne 99 ] || skip "no overlay"
    [ $status -eq 0 ]
    wait_for 10 ended_all
}

@test "mount DIRECTORY with a line of fstab, type fuse.ringfs, and umount" {
    echo "$SOURCE $MNT fuse.ringfs log_file=$BASE/mount.log,_netdev,nofail,x-what.ever=1,comment=hello,noatime 0 0" >"$BASE/fstab"
    with_installed "
        mount -T $BASE/fstab $MNT
        mounted
        echo hello >$MNT/f
        [ \"\$(findmnt -no SOURCE $MNT)\" = '$SOURCE' ]
        mount -T $BASE/fstab -a # nothing left to do
        [ \$(grep -cF ' $MNT ' /proc/mounts) -eq 1 ]
        umount $MNT
        mount -t fuse.ringfs $SOURCE $MNT -o ro
        [ \$(cat $MNT/f) = hello ]
        (! echo new >$MNT/f) 2>/dev/null
        umount $MNT
        mount.fuse3 'ringfs#$SOURCE' $MNT -o nofail
        [ \$(cat $MNT/f) = hello ]
        umount $MNT"
}

@test "a line of fstab, type ringfs, through mount.ringfs" {
    echo "$SOURCE:/ $MNT ringfs defaults,_netdev 0 0" >"$BASE/fstab"
    with_installed "
        mount -v -T $BASE/fstab $MNT
        mounted
        echo hello >$MNT/f
        umount $MNT
        mount -f -T $BASE/fstab $MNT
        ! mounted"
}

ended_all() { [ -z "$(mount_pid "$MNT")" ]; }

@test "mount.ringfs takes mount's flags; fake mounts nothing" {
    "$BUILD/fs/mount.ringfs" "$SOURCE" "$MNT" -f -n -v -o rw 3>&-
    not_mounted
    "$BUILD/fs/mount.ringfs" "$SOURCE" "$MNT" -s -o rw,no_such_thing 3>&-
    mounted
    stop_mount
}

@test "a directory of the tree as the root" {
    start_mount
    mkdir -p "$MNT/a/b/c"
    echo inside >"$MNT/a/b/c/f"
    stop_mount
    "$BUILD/fs/ringfs" "$SOURCE:/a/b" "$MNT" 3>&-
    [ "$(cat "$MNT/c/f")" = inside ]
    [ "$(stat -c %i "$MNT")" -eq 1 ]
    [ "$(ls "$MNT")" = c ]
    echo new >"$MNT/g"
    mkdir "$MNT/d"
    mv "$MNT/g" "$MNT/d/g"
    # shellcheck disable=SC2012 # find does not tell the number of ..
    [ "$(ls -ia "$MNT/d" | awk '$2 == ".." { print $1 }')" = 1 ]
    stop_mount
    "$BUILD/fs/ringfs" "$SOURCE" "$MNT" -o subdir=/a 3>&-
    [ "$(cat "$MNT/b/d/g")" = new ]
    stop_mount
    status=0
    "$BUILD/fs/ringfs" "$SOURCE:/a/missing" "$MNT" 2>"$BASE/err" 3>&- || status=$?
    [ $status -eq 32 ]
    grep -q "/a/missing.*[Nn]o such" "$BASE/err"
    not_mounted
}

@test "exit codes: 1 usage, 32 when the cluster does not answer" {
    status=0
    "$BUILD/fs/ringfs" "$SOURCE" "$MNT" -o no_such_thing 2>"$BASE/err" || status=$?
    [ $status -eq 1 ]
    status=0
    "$BUILD/fs/ringfs" "$SOURCE" "$MNT" -o noexc 2>"$BASE/err" || status=$?
    [ $status -eq 1 ]
    grep -q "did you mean noexec" "$BASE/err"
    status=0
    "$BUILD/fs/ringfs" "ipc://$BASE/nobody" "$MNT" -o timeo=1 2>"$BASE/err" 3>&- || status=$?
    [ $status -eq 32 ]
    not_mounted
    status=0
    "$BUILD/fs/ringfs" "$SOURCE" "$BASE/nowhere" 2>"$BASE/err" 3>&- || status=$?
    [ $status -eq 32 ]
    "$BUILD/node/ringctl" keygen "$BASE/key" >/dev/null
    status=0
    "$BUILD/fs/ringfs" "tcp://127.0.0.1:$(free_port)" "$MNT" -o "timeo=1,key_file=$BASE/key" 2>"$BASE/err" 3>&- || status=$?
    [ $status -eq 32 ]
    grep -q "does not answer: .*another key" "$BASE/err"
    "$BUILD/fs/ringfs" -V | grep -q '^ringfs [0-9]'
    "$BUILD/fs/ringfs" --help | grep -q 'timeo=SECONDS'
}

@test "what is mounted already is not mounted over, a directory with files in it is, and a busy one stays mounted" {
    touch "$MNT/below"
    start_mount "$MNT"
    echo hello >"$MNT/f"
    [ "$(ls "$MNT")" = f ]
    status=0
    "$BUILD/fs/ringfs" "$SOURCE" "$MNT" 2>"$BASE/err" 3>&- || status=$?
    [ $status -eq 32 ]
    grep -q "mounted at $MNT already: umount it first" "$BASE/err"
    [ "$(grep -cF " $MNT fuse.ringfs " /proc/mounts)" -eq 1 ]
    cd "$MNT"
    run umount "$MNT"
    [ "$status" -ne 0 ]
    [[ "$output" = *busy* ]]
    [ "$(cat f)" = hello ]
    cd /
    stop_mount
    [ "$(ls "$MNT")" = below ]
}

# Fails with EIO by the deadline. ls and cat ask twice, and a busy machine gets time.
refused() { # COMMAND...
    local begin=${EPOCHREALTIME/./} took said code=0
    said=$(timeout 20 "$@" 2>&1) || code=$?
    took=$((${EPOCHREALTIME/./} - begin))
    echo "$* took $took us, status $code: $said"
    [ $code -ne 0 ] && [ $code -ne 124 ] && [[ "$said" = *"Input/output error"* ]] && [ $took -lt 12000000 ]
}

@test "with all nodes stopped ls, cat and echo fail by the deadline, df answers and ctrl-C works; then all works again" {
    start_mount "$MNT" -o timeo=2
    echo hello >"$MNT/f"
    echo kept >"$MNT/g"
    mkdir "$MNT/d"
    ls "$MNT" >/dev/null
    pause_nodes STOP
    timeout 1 df "$MNT" >/dev/null
    timeout 1 stat -f "$MNT" >/dev/null
    for i in $(seq 5); do timeout 2 stat "$MNT" >/dev/null; done
    refused ls "$MNT/"
    refused cat "$MNT/f"
    refused cat "$MNT/missing"
    refused bash -c "echo new >'$MNT/g'"
    refused bash -c "echo more >>'$MNT/g'"
    refused bash -c "echo new >'$MNT/h'"
    refused mkdir "$MNT/d2"
    timeout 1 df "$MNT" >/dev/null
    grep -q 'op=.* path=/.* err=' "$BASE/mount.log"
    begin=${EPOCHREALTIME/./}
    for command in "ls $MNT/d" "cat $MNT/f" "echo >$MNT/f"; do
        status=0
        timeout -s INT 0.3 bash -c "$command" >/dev/null 2>&1 || status=$?
        [ $status -ne 0 ]
    done
    took=$((${EPOCHREALTIME/./} - begin))
    echo "three interrupted ones took $took us"
    [ $took -lt 5500000 ] # three times the deadline is 6 s
    pause_nodes CONT
    wait_for 20 cat "$MNT/f"
    wait_for 20 bash -c "echo new >'$MNT/h'"
    [ "$(cat "$MNT/f")" = hello ] || [ -z "$(cat "$MNT/f")" ] # the last echo may have been under way
    [ "$(cat "$MNT/h")" = new ]
    ls "$MNT" "$MNT/d" >/dev/null
    stop_mount
}

@test "a hard mount waits for the nodes as long as it takes, and a signal ends the wait" {
    start_mount "$MNT" -o timeo=1,hard
    echo hello >"$MNT/f"
    pause_nodes STOP
    begin=${EPOCHREALTIME/./}
    status=0
    timeout -s INT 3 cat "$MNT/f" >/dev/null 2>&1 || status=$?
    took=$((${EPOCHREALTIME/./} - begin))
    echo "status $status took $took us"
    [ $status -eq 124 ]
    [ $took -ge 2900000 ]
    [ $took -lt 5000000 ]
    cat "$MNT/f" >"$BASE/out" 3>&- &
    waiting=$!
    timeout 1 stat -f "$MNT" >/dev/null
    pause_nodes CONT
    wait $waiting
    [ "$(cat "$BASE/out")" = hello ]
    pause_nodes STOP
    run timeout 1 cat "$MNT/f"
    [ "$status" -ne 0 ]
    umount "$MNT" # ends within the deadline, hard or not
    wait_for 10 ended_all
}
