#!/usr/bin/env bats
# ringfs: what three mounts make of the same names at the same time.

load lib

setup() {
    start_cluster 3
    for dir in mnt second third; do
        start_mount "$BASE/$dir"
    done
    cd "$MNT" || return 1
}

teardown() {
    cd / || true
    stop_cluster
}

# Each name with its inode number, link count and size.
list() { (cd "$1" && find . -type f -printf '%p %i %n %s\n' | sort); }
same() { diff <(list "$1") <(list "$2"); }

# Every file has as many names as it says.
counts_right() { # DIR
    list "$1" | awk '{ n[$2]++; says[$2] = $3 } END { for (i in n) if (n[i] != says[i]) exit 1 }'
}

@test "a mount goes on in its new directory after it has removed what another made there" {
    mkdir d
    : >"$BASE/second/d/f"
    rm d/f
    mkdir d/sub
    [ "$(ls d)" = sub ]
}

@test "names made, linked, renamed, exchanged and removed by three mounts at once" {
    mkdir d e
    pids=()
    for dir in mnt second third; do
        timeout 60 python3 "$BATS_TEST_DIRNAME/names.py" "$BASE/$dir" "${#pids[@]}" 5 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
    wait_for 10 same "$MNT" "$BASE/second"
    wait_for 10 same "$MNT" "$BASE/third"
    counts_right "$MNT"
    find . -type f -exec cat {} + >/dev/null
    ringctl fsck
    rm -r d e
    [ -z "$(ls -A "$BASE/third")" ]
}
