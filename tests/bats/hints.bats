#!/usr/bin/env bats
# Writes while nodes are away: what stand-ins keep, and how it comes home.

load lib

teardown() {
    stop_cluster
}

hints() { # rows kept in the whole cluster
    ringctl --json hints | python3 -c '
import json, sys
print(sum(h["rows"] for n in json.load(sys.stdin)["nodes"] for h in n["hints"]))'
}
no_hints() { [ "$(hints)" -eq 0 ]; }
some_hints() { [ "$(hints)" -gt 0 ]; }
stat_of() { # NODE NAME
    ringctl --json status | python3 -c '
import json, sys
print(next(n["stats"][sys.argv[2]] for n in json.load(sys.stdin)["nodes"] if n["id"] == int(sys.argv[1])))' "$1" "$2"
}
noticed() { # NODE OTHER...: the others take it for away
    local i down=$1
    shift
    for i in "$@"; do [ "$(stat_of "$i" "peer_${down}_alive")" -eq 0 ] || return 1; done
}

@test "what is written while a node is away is kept for it, shown, and brought to it" {
    start_cluster 5
    ringctl hints | grep -q '^0 rows are kept'
    kill_node 2
    wait_for 10 noticed 2 1 3 4 5
    ringctl bench --ops 400 --clients 4 --rows 200 --journal "$BASE/journal" >/dev/null
    wait_for 5 some_hints
    run ringctl hints
    [ "$status" -eq 1 ] # node 2 is silent
    [[ "$output" == *"waiting: node 2 does not answer"* ]]
    kept=$(hints)
    [ "$(ringctl --json hints | grep -c '"target": 2')" -ge 1 ]
    start_node 2
    wait_for 20 no_hints
    [ "$(stat_of 2 handoffs_received)" -gt 0 ]
    delivered=0
    for i in 1 3 4 5; do delivered=$((delivered + $(stat_of $i hints_delivered))); done
    [ "$delivered" -ge "$kept" ]
    ringctl bench --check "$BASE/journal"
    wait_for 20 ringctl verify
}

@test "hints survive kill -9 of the stand-ins, and the first to come back gets its rows" {
    start_cluster 5
    kill_node 2
    wait_for 10 noticed 2 1 3 4 5
    ringctl bench --ops 300 --clients 4 --rows 150 --journal "$BASE/journal" >/dev/null
    wait_for 5 some_hints
    kept=$(hints)
    for i in 1 3 4 5; do kill_node $i; done
    for i in 1 3 4 5; do launch_node $i; done
    for i in 1 3 4 5; do wait_for 20 node_serves $i; done
    same() { [ "$(hints)" -eq "$kept" ]; }
    wait_for 10 same
    start_node 2
    wait_for 20 no_hints
    ringctl bench --check "$BASE/journal"
}

@test "without stand-ins the coordinator knows which rows to bring" {
    start_cluster 3
    kill_node 3
    wait_for 10 noticed 3 1 2
    ringctl bench --ops 100 --clients 2 --rows 50 --journal "$BASE/journal" >/dev/null
    wait_for 5 some_hints
    start_node 3
    wait_for 20 no_hints
    [ "$(stat_of 3 handoffs_received)" -gt 0 ]
    ringctl bench --check "$BASE/journal"
}
