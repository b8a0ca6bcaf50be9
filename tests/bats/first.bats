#!/usr/bin/env bats
# The first start of a cluster of which one machine does not come up: what it says, and how it serves all the same.

load lib

setup() {
    make_base
    # shellcheck disable=SC2034 # of lib.bash
    MEMBERS=("1=ipc://$BASE/s1" "2=ipc://$BASE/s2" "3=ipc://$BASE/s3")
}
teardown() { stop_cluster; }

status_says() { # WORDS
    ringctl status >"$BASE/status" 2>&1 || true
    grep -q -- "$1" "$BASE/status"
}
all_recovered() { ! status_says recovered; }

@test "a new cluster that lacks a node says which one it waits for, and serves when it has come" {
    launch_node 1
    launch_node 2
    wait_for 20 status_says "share with node 3 wait for it"
    grep -q "node 1 has recovered 0 of" "$BASE/status"
    grep -q "only if it holds nothing yet, nodes started with --trust-disk serve before" "$BASE/status"
    run grep "the other nodes answer for" "$BASE/status"
    [ "$status" -ne 0 ]
    run ringctl --timeout 1 put /a text
    [ "$status" -eq 4 ]
    launch_node 3
    wait_for 30 ringctl put /a text
    wait_for 20 all_recovered
    ringctl status
}

@test "a new cluster that lacks a node serves with --trust-disk, and the late node gets all there is" {
    start_node 1 --trust-disk
    start_node 2 --trust-disk
    wait_for 20 ringctl put /a text
    start_node 3
    wait_for 20 ringctl status
    wait_for 20 ringctl verify
    kill_node 1
    [ "$(ringctl get /a)" = text ]
    stop_node 2
    start_node 2
    [ "$(ringctl get /a)" = text ]
}

@test "nodes that have served before start again and serve while the third is away" {
    start_node 1 --trust-disk
    start_node 2 --trust-disk
    start_node 3
    wait_for 20 ringctl put /a text
    wait_for 20 ringctl status
    stop_node 3
    stop_node 2
    start_node 2 # without --trust-disk: nothing to recover after a clean stop
    [ "$(ringctl get /a)" = text ]
    ringctl put /b text
}
