#!/usr/bin/env bats
# The kernel holds names for long where their changes are told, and gives them up when one is.

load lib

setup() {
    start_cluster 3
    start_mount "$BASE/a"
    start_mount "$BASE/b"
    A=$BASE/a B=$BASE/b
    mkdir -p "$A/d/sub"
    for i in 1 2 3 4 5; do echo "$i" >"$A/d/f$i"; done
    SERVER=$(mount_pid "$B")
}

teardown() {
    ! mountpoint -q "$BASE/b/d/sub" || umount "$BASE/b/d/sub"
    stop_cluster
}

# How many requests of the kernel the mount at $B has answered.
answered() {
    local before
    before=$(grep -c answered= "$BASE/mount.log") || true
    kill -USR1 "$SERVER"
    wait_for 5 line_after "$before" || return 1
    grep answered= "$BASE/mount.log" | tail -n 1 | grep -o " answered=[0-9]*" | cut -d= -f2
}
line_after() { [ "$(grep -c answered= "$BASE/mount.log")" -gt "$1" ]; }
look() { stat "$B/d/f1" "$B/d/f2" "$B/d/f3" "$B/d/f4" "$B/d/f5" "$B/d/none" >/dev/null 2>&1 || true; }
# Whether names are held: a look 0.2 s after another, which is more than they may be without being told, reaches nobody.
is_held() {
    local before end
    look
    before=$(answered)
    end=$((${EPOCHREALTIME/./} + 200000))
    while [ "${EPOCHREALTIME/./}" -lt "$end" ]; do :; done
    look
    [ "$(answered)" -le $((before + 3)) ] # the attributes of directories above
}
has() { [ -e "$B/d/$1" ]; }
has_not() { [ ! -e "$B/d/$1" ]; }
holds_epochs() { # Linux 6.16
    local release
    IFS=.- read -ra release < <(uname -r)
    [ $((release[0] * 100 + release[1])) -ge 616 ]
}

@test "names are held for seconds, and changes made elsewhere show at once all the same" {
    holds_epochs || skip "this kernel cannot be told"
    wait_for 30 is_held
    rm "$A/d/f1"
    wait_for 2 has_not f1
    wait_for 30 is_held
    mv "$A/d/f2" "$A/d/g2"
    wait_for 2 has_not f2
    has g2
    : >"$A/d/none"
    wait_for 2 has none
}

@test "while somebody is in a directory it stays good" {
    cd "$B/d/sub"
    wait_for 30 is_held
    rm "$A/d/f1"
    wait_for 2 has_not f1
    [ "$(/bin/pwd)" = "$B/d/sub" ]
    : >here
    [ -e "$A/d/sub/here" ]
    cd /
}

@test "what is mounted on a directory stays there when names change elsewhere" {
    wait_for 30 is_held
    mkdir "$BASE/other"
    : >"$BASE/other/mark"
    mount --bind "$BASE/other" "$B/d/sub"
    for i in 1 2 3 4 5; do
        rm "$A/d/f$i"
        wait_for 15 has_not "f$i" # names that were given for long end by themselves
        [ -e "$B/d/sub/mark" ]
    done
    mountpoint -q "$B/d/sub"
    umount "$B/d/sub"
    [ ! -e "$B/d/sub/mark" ]
    for i in 1 2 3 4 5; do echo "$i" >"$A/d/f$i"; done
    wait_for 5 has f5
    wait_for 30 is_held
}

@test "the next worker takes back what the last one gave" {
    wait_for 30 is_held
    local worker
    worker=$(worker_pid "$B")
    kill -STOP "$worker"
    rm "$A/d/f1"
    kill -KILL "$worker"
    wait_for 10 has_not f1
    has f2
}

@test "entry_timeout=0 lets the kernel hold none" {
    stop_mount "$B"
    start_mount "$B" -o entry_timeout=0
    SERVER=$(mount_pid "$B")
    for i in 1 2 3; do
        if is_held; then false; fi
    done
}
