#!/usr/bin/env bats
# The mounts' own sweeps: what a killed mount left goes away without anybody asking, and one mount of several sees to it.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

swept() { cat "$BASE"/sweep*.log 2>/dev/null | grep -c 'swept:'; }
swept_times() { [ "$(swept)" -ge "$1" ]; }
clean() { # nothing to be found, however young
    ringctl --json fsck --min-age 0 >"$BASE/fsck" && [ "$(jq '[.kinds[].found] | add' "$BASE/fsck")" -eq 0 ]
}

@test "what a killed mount left goes away by itself, and the log says what it was" {
    start_mount "$BASE/dies" -o sweep=off
    cp /bin/bash "$MNT/keep"
    head -c 4000000 /dev/urandom >"$MNT/gone"
    exec 9<"$MNT/gone"
    rm "$MNT/gone"
    kill -KILL "$(mount_pid "$MNT")" "$(worker_pid "$MNT")"
    exec 9<&- || true
    umount -l "$MNT" 2>/dev/null || true
    run ringctl --json fsck --min-age 0
    [ "$status" -eq 1 ]
    [ "$(jq .kinds.contents.found <<<"$output")" -eq 1 ]
    start_mount "$BASE/a" -o "sweep=3,log_file=$BASE/sweep1.log"
    start_mount "$BASE/b" -o "sweep=3,log_file=$BASE/sweep2.log"
    wait_for 60 grep -q 'swept: .*; 1 leftovers found (1 contents), 0 left' "$BASE"/sweep*.log
    wait_for 20 clean
    cmp /bin/bash "$BASE/a/keep"
    cmp /bin/bash "$BASE/b/keep"
    grep -q 'could be taken for leftovers' "$BASE/sweep1.log" # sweep=3 is for trees that nobody writes
}

@test "two mounts take turns: together they sweep no more often than one of them is told to" {
    start_mount "$BASE/a" -o "sweep=3,log_file=$BASE/sweep1.log"
    start_mount "$BASE/b" -o "sweep=3,log_file=$BASE/sweep2.log"
    wait_for 30 swept_times 1
    began=${EPOCHREALTIME/./} first=$(swept)
    wait_for 60 swept_times $((first + 3))
    took=$((${EPOCHREALTIME/./} - began))
    echo "three more took $took us"
    [ $took -ge 6000000 ]
    run grep 'ended early' "$BASE"/sweep*.log
    [ "$status" -eq 1 ]
    # One that is not to sweep leaves the turns to the others, and so does one that reads only.
    start_mount "$BASE/off" -o "sweep=off,log_file=$BASE/off.log"
    start_mount "$BASE/ro" -o "sweep=1,ro,log_file=$BASE/ro.log"
    n=$(swept)
    wait_for 60 swept_times $((n + 2))
    run grep swept "$BASE/off.log" "$BASE/ro.log"
    [ "$status" -eq 1 ]
}
