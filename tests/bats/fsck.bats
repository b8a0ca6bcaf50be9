#!/usr/bin/env bats
# ringctl fsck: what a mount that is killed leaves is found and repaired, and what is in use stays.

load lib

setup() {
    start_cluster 3
    start_mount
}

teardown() {
    cd / || true
    stop_cluster
}

# All processes of the mount at once: one that is left would end in good order, or be replaced. The worker first: its
# supervisor's end lets a worker that is stopped go on (an orphaned process group), and it would remove blocks.
all_killed() {
    local pids
    pids="$(worker_pid) $(mount_pid)"
    [ -n "${pids//[[:space:]]/}" ] || return 0
    # shellcheck disable=SC2086 # a list
    kill -STOP $pids 2>/dev/null || true
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    return 1
}

kill_mount() {
    all_killed || true
    umount -l "$MNT" 2>/dev/null || true
    wait_for 20 all_killed
}

repaired() { # KIND: how many `fsck --repair` repaired
    jq -r --arg kind "$1" '.kinds[$kind].repaired' <<<"$output"
}

@test "a tree in order is clean, whatever is going on in it" {
    mkdir -p "$MNT/a/b" && head -c 3000000 /dev/urandom >"$BASE/f" && cp "$BASE/f" "$MNT/a/b/f"
    run ringctl fsck
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"nothing is wrong"* ]]
    run ringctl fsck /a
    [ "$status" -eq 0 ]
    run ringctl fsck --repair --min-age 30m
    [ "$status" -eq 0 ]
    cmp "$BASE/f" "$MNT/a/b/f"
}

@test "usage: what makes no sense is refused" {
    run ringctl fsck --repair --dry-run
    [ "$status" -eq 2 ]
    run ringctl fsck --min-age soon
    [ "$status" -eq 2 ]
    run ringctl fsck /missing
    [ "$status" -eq 3 ]
}

@test "a mount killed amid copying and removing leaves nothing that is not repaired" {
    mkdir "$BASE/tree" "$BASE/tree/sub"
    for i in $(seq 40); do echo "file $i" >"$BASE/tree/sub/f$i"; done
    for i in $(seq 6); do head -c 1500000 /dev/urandom >"$BASE/tree/large$i"; done
    cp -r "$BASE/tree" "$MNT/keep"
    for round in 1 2 3; do
        (
            for i in 1 2 3 4; do
                cp -r "$BASE/tree" "$MNT/copy$round$i"
                mv "$MNT/copy$round$i/sub" "$MNT/moved$round$i"
                rm -r "$MNT/copy$round$i"
            done
        ) >/dev/null 2>&1 3>&- &
        work=$!
        wait_for 30 test -e "$MNT/moved$round$((RANDOM % 3 + 1))"
        kill_mount
        wait "$work" 2>/dev/null || true
        run ringctl --json fsck --repair --min-age 0
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(jq '[.kinds[].left] | add' <<<"$output")" -eq 0 ]
        run ringctl --json fsck --min-age 0
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(jq '[.kinds[].found] | add' <<<"$output")" -eq 0 ]
        start_mount
        diff -r "$BASE/tree" "$MNT/keep"
        # What is there is whole: under its name stands the same as in the original.
        for f in "$MNT"/copy*/large*; do
            [ ! -s "$f" ] || [ "$(stat -c %s "$f")" -ne 1500000 ] || cmp "$f" "$BASE/tree/${f##*/}"
        done
    done
}

@test "blocks without a file are removed, and their space comes back" {
    cp /bin/bash "$MNT/keep"
    # The name goes, and the mount dies before the blocks do.
    head -c 40000000 /dev/urandom >"$MNT/large"
    exec 9<"$MNT/large"
    rm "$MNT/large"
    kill_mount
    exec 9<&- || true
    run ringctl fsck --min-age 0
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"no file names"* ]]
    run ringctl --json fsck --repair # too young
    [ "$status" -eq 0 ]
    [ "$(repaired contents)" -eq 0 ]
    run ringctl --json fsck --repair --min-age 0
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(repaired contents)" -eq 1 ]
    [ "$(jq .blocks_removed <<<"$output")" -eq $((40000000 / 65536 + 1)) ]
    run ringctl fsck --min-age 0
    [ "$status" -eq 0 ]
    start_mount
    cmp /bin/bash "$MNT/keep"
}

@test "--repair wants every node, looking does with a majority" {
    echo x >"$MNT/x"
    stop_mount
    kill_node 3
    run ringctl --timeout 2 fsck --min-age 0
    echo "$output"
    [ "$status" -eq 0 ]
    run ringctl --timeout 2 fsck --repair --min-age 0
    echo "$output"
    [ "$status" -eq 4 ]
    [[ "$output" = *"node 3"* ]]
}
