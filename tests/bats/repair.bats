#!/usr/bin/env bats
# Replicas that differ: how they are found, shown and mended.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

# Files that node 3 misses, in a directory, and a deletion.
make_differences() {
    mkdir_with_ringctl /before x
    kill_node 3
    wait_for 10 node_is_silent 3
    for i in 1 2 3 4 5; do ringctl put "/file$i" "value $i"; done
    ringctl del /before
    head -c 300000 /dev/urandom >"$BASE/big"
    ringctl put /big - <"$BASE/big"
}
mkdir_with_ringctl() { ringctl put "$1" "$2"; }
node_is_silent() { ! ringctl -t 2 status | grep -q "^ *$1  answers"; }

@test "verify of replicas that agree is exit code 0 and one line" {
    for i in 1 2 3; do ringctl put "/file$i" "value $i"; done
    wait_for 20 ringctl verify
    run ringctl verify
    [ "$status" -eq 0 ]
    [[ "$output" == *" 0 differ" ]]
    [ "$(ringctl verify --json | jq .differing)" -eq 0 ]
    [ "$(ringctl verify --json | jq .slices)" -eq "$(ringctl ring --json | jq .slices)" ]
}

@test "verify without one node is exit code 2 and names it" {
    ringctl put /a 1
    kill_node 2
    run ringctl -t 2 verify
    [ "$status" -eq 2 ]
    [[ "$output" == *"node 2"* ]]
}

@test "what a node missed is shown by verify and mended by repair" {
    make_differences
    start_node 3
    run ringctl verify
    if [ "$status" -eq 1 ]; then # else the nodes were faster
        [[ "$output" == *"node 3 missing"* ]]
        [[ "$output" == *": /file"* ]]
    fi
    run ringctl -t 30 repair --all
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"all replicas were compared, "* ]]
    run ringctl verify
    [ "$status" -eq 0 ]
    kill_node 1
    ringctl get /big | cmp - "$BASE/big"
}

@test "a node that returns is repaired without anybody asking" {
    make_differences
    start_node 3
    wait_for 30 ringctl verify
    # By hints or by anti-entropy, whichever came first.
    [ "$(ringctl status --json | jq '[.nodes[].stats | .hints_delivered + .repair_rows_mended] | add')" -ge 1 ]
}

@test "repair of a path mends that path" {
    make_differences
    start_node 3
    run ringctl repair /big
    echo "$output"
    [ "$status" -eq 0 ]
    run ringctl repair /no/such/path
    [ "$status" -eq 3 ]
    run ringctl repair
    [ "$status" -eq 2 ]
}

@test "repair status shows every node" {
    run ringctl repair status
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 4 ]
    kill_node 2
    wait_for 10 node_is_silent 2
    run ringctl repair status
    [ "$status" -eq 1 ]
    [[ "$output" == *silent* ]]
}
