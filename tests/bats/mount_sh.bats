#!/usr/bin/env bats
# mount.sh: the front door, as a newcomer uses it.

load lib

setup() {
    TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BASE=$(mktemp -d "${TMPDIR:-/tmp}/rfs.XXXXXX")
    DIR=$BASE/mnt
    STATE=$BASE/s
}

teardown() {
    "$TOP/mount.sh" -u --state "$STATE" "$DIR" >/dev/null 2>&1 || true
    for pidfile in "$STATE"/n*/pid; do
        [ ! -s "$pidfile" ] || kill -9 "$(cat "$pidfile")" 2>/dev/null || true
    done
    ! grep -q " $DIR " /proc/mounts || umount -l "$DIR"
    rm -rf "$BASE"
}

mount_it() { "$TOP/mount.sh" --no-install --state "$STATE" "$@" "$DIR"; }
mount_pid() { # [NAME]: of all processes of the mount, or of that name
    local name
    for p in /proc/[0-9]*; do
        name=$(cat "$p/comm" 2>/dev/null)
        [[ $name = ringfs* ]] && [ "${1-$name}" = "$name" ] && tr '\0' '\n' <"$p/cmdline" | grep -qxF "$DIR" && echo "${p#/proc/}"
    done
    return 0
}

@test "mount.sh DIR ends with a working mount and says what to try, how to break it and how to undo" {
    run mount_it
    [ "$status" -eq 0 ]
    [[ "$output" == *"try:"* ]]
    [[ "$output" == *"break it:"* ]]
    [[ "$output" == *"undo:"* ]]
    echo hi >"$DIR/a"
    [ "$(cat "$DIR/a")" = hi ]
    grep -q " $DIR fuse.ringfs " /proc/mounts
}

@test "mount.sh twice is harmless" {
    mount_it
    echo hi >"$DIR/a"
    pids=$(cat "$STATE"/n*/pid)
    run mount_it
    [ "$status" -eq 0 ]
    [[ "$output" == *"already mounted"* ]]
    [ "$(cat "$STATE"/n*/pid)" = "$pids" ]
    [ "$(cat "$DIR/a")" = hi ]
}

@test "mount.sh -u stops everything and keeps the data" {
    mount_it
    echo kept >"$DIR/a"
    pids="$(cat "$STATE"/n*/pid) $(mount_pid)"
    "$TOP/mount.sh" -u --state "$STATE" "$DIR"
    run grep -q " $DIR " /proc/mounts
    [ "$status" -ne 0 ]
    for pid in $pids; do process_ended "$pid"; done
    mount_it
    [ "$(cat "$DIR/a")" = kept ]
}

@test "mount.sh -u where nothing is mounted says so and succeeds" {
    run "$TOP/mount.sh" -u --state "$STATE" "$DIR"
    [ "$status" -eq 0 ]
    [[ "$output" == *"nothing is mounted"* ]]
}

@test "a dead mount (Transport endpoint is not connected) is cleared first" {
    mount_it
    echo hi >"$DIR/a"
    # A supervisor that sees its worker die starts another; a worker whose supervisor dies unmounts.
    kill -STOP "$(mount_pid ringfs)"
    kill -9 "$(mount_pid ringfs-worker)" "$(mount_pid ringfs)"
    timeout 10 sh -c "while stat '$DIR'; do sleep 0.05; done"
    run mount_it
    [ "$status" -eq 0 ]
    [[ "$output" == *"clearing a dead mount"* ]]
    [ "$(cat "$DIR/a")" = hi ]
}

@test "mount.sh brings a killed node back" {
    mount_it
    kill -9 "$(cat "$STATE/n2/pid")"
    echo survives >"$DIR/a"
    [ "$(cat "$DIR/a")" = survives ]
    mount_it
    local pid
    pid=$(cat "$STATE/n2/pid")
    [ "$(cat "/proc/$pid/comm")" = ringnode ] && ! process_ended "$pid"
}

@test "a killed node that nobody has asked for, as in a container, is brought back and stopped all the same" {
    cat >"$BASE/init.py" <<'END'
import ctypes, os, signal, sys
state, command = sys.argv[1], sys.argv[2:]
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: the nodes become children of this process, which never waits for them
def run(*more):
    pid = os.posix_spawn(command[0], command[:1] + list(more) + command[1:], os.environ)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("mount.sh failed")
def node():
    return int(open(state + "/n2/pid").read())
def ended(pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
run()
first = node()
os.kill(first, signal.SIGKILL)
ended(first)
run()
print("brought back" if node() != first else "left dead")
print(open("/proc/%d/status" % first).read().split("State:")[1].split()[0])
run("-u")
END
    timeout 60 python3 "$BASE/init.py" "$STATE" "$TOP/mount.sh" --no-install --state "$STATE" "$DIR" >"$BASE/out"
    cat "$BASE/out"
    grep -qx "brought back" "$BASE/out"
    grep -qx Z "$BASE/out"
}

@test "--nodes 5 makes a cluster of five, and it cannot be changed later" {
    mount_it --nodes 5
    [ "$(wc -l <"$STATE/members")" -eq 5 ]
    echo five >"$DIR/a"
    [ "$(cat "$DIR/a")" = five ]
    run mount_it --nodes 3
    [ "$status" -eq 1 ]
    [[ "$output" == *"has 5 nodes"* ]]
}

@test "two directories share one cluster, and it stays up until the last is unmounted" {
    mount_it
    "$TOP/mount.sh" --no-install --state "$STATE" "$BASE/second"
    echo shared >"$DIR/a"
    [ "$(cat "$BASE/second/a")" = shared ]
    run "$TOP/mount.sh" -u --state "$STATE" "$BASE/second"
    [[ "$output" == *"stays up"* ]]
    [ "$(cat "$DIR/a")" = shared ]
}

@test "--no-install names what is missing instead of installing it" {
    mkdir "$BASE/bin"
    printf '#!/bin/sh\nexit 1\n' >"$BASE/bin/dpkg-query"
    chmod +x "$BASE/bin/dpkg-query"
    PATH=$BASE/bin:$PATH run mount_it
    [ "$status" -eq 1 ]
    [[ "$output" == *"missing packages"*libfuse3-dev* ]]
}

@test "a wrong option is a sentence and exit code 2" {
    run "$TOP/mount.sh" --bogus "$DIR"
    [ "$status" -eq 2 ]
    [[ "$output" == *"unknown option --bogus"* ]]
    run "$TOP/mount.sh"
    [ "$status" -eq 2 ]
    run "$TOP/mount.sh" --nodes 0 "$DIR"
    [ "$status" -eq 2 ]
    run "$TOP/mount.sh" --help
    [ "$status" -eq 0 ]
}
