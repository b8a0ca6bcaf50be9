#!/usr/bin/env bats
# Contents of files through real mounts: appends, sparse files, databases.

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

# ---- two mounts ----

append_lines() { # FILE WORD N
    for i in $(seq "$3"); do echo "$2 $i of some length, so that records fill up" >>"$1"; done
}

@test "a thousand lines appended by each of two mounts to a large file all arrive whole" {
    start_mount "$BASE/second"
    head -c 100000 /dev/zero | tr '\0' x >log
    echo >>log
    append_lines log first 1000 &
    append_lines "$BASE/second/log" second 1000
    wait $!
    tail -n +2 log >"$BASE/seen"
    [ "$(wc -l <"$BASE/seen")" -eq 2000 ]
    (append_lines "$BASE/expected" first 1000; append_lines "$BASE/expected" second 1000)
    cmp <(sort "$BASE/expected") <(sort "$BASE/seen")
    cmp log "$BASE/second/log"
    stop_mount "$BASE/second"
}

@test "long runs of appended bytes by two mounts stay whole" {
    start_mount "$BASE/second"
    head -c 70000 /dev/zero >big
    for i in 1 2 3 4 5; do
        (head -c 3000000 /dev/zero | tr '\0' a >>big) &
        (head -c 3000000 /dev/zero | tr '\0' b >>"$BASE/second/big")
        wait $!
    done
    [ "$(wc -c <"$BASE/second/big")" -eq 30070000 ]
    [ "$(tr -d -c a <big | wc -c)" -eq 15000000 ]
    [ "$(tr -d -c b <"$BASE/second/big" | wc -c)" -eq 15000000 ]
    stop_mount "$BASE/second"
}

@test "two mounts that change different bytes of one block both succeed" {
    start_mount "$BASE/second"
    head -c 65536 /dev/zero | tr '\0' x >f
    patch() { # FILE FIRST WORD
        for i in $(seq "$2" 2 199); do
            printf %s "$3" | dd of="$1" bs=1 seek=$((i * 300)) conv=notrunc status=none
        done
    }
    patch f 0 even &
    patch "$BASE/second/f" 1 odd
    wait $!
    [ "$(grep -o even f | wc -l)" -eq 100 ]
    [ "$(grep -o odd "$BASE/second/f" | wc -l)" -eq 100 ]
    stop_mount "$BASE/second"
}
