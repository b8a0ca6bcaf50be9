#!/usr/bin/env bats
# Three nodes on tcp in two network namespaces, two here and one there, and a router between that can be told to drop
# everything: what each side still does, and what is left when they meet again. Needs root.

load lib
load network

setup() {
    start_two_sides
    wait_for 20 many status
}

teardown() {
    stop_two_sides
}

context() { many --json get --all "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["context"])'; }
values() { # PATH
    many --json get --all --level all "$1" |
        python3 -c 'import json, sys; print(*sorted(s.get("value", "-") for s in json.load(sys.stdin)["siblings"]))'
}

replicas_agree() { many repair --all && many verify; }

@test "the side with a majority goes on with everything, the other reads and writes what needs none" {
    many put /a before
    local seen
    seen=$(context /a)
    cut
    many put /a majority
    many put --if-absent /new one
    [ "$(many get /a)" = majority ]
    wait_for 10 one get --level one /a
    [ "$(one get --level one /a)" = before ]
    one put --level one --context "$seen" /a minority
    [ "$(one get --level one /a)" = minority ]

    # Nothing that needs a majority is done there, nor said to be.
    run one --timeout 3 get /a
    [ "$status" -eq 4 ]
    run one --timeout 3 put --if-absent /other two
    [[ "$status" =~ ^[46]$ ]]
    run one --timeout 3 put --if-match "$seen" /a never
    [[ "$status" =~ ^[456]$ ]]

    heal
    wait_for 20 one status
    [ "$(values /a)" = "majority minority" ]
    many resolve /a --value resolved
    [ "$(one get --level all /a)" = resolved ]
    [ "$(one get /new)" = one ]
}

@test "nothing that either side acknowledged is lost when they meet again" {
    local pid
    many put /a before
    many bench --seconds 4 --rows 50 --puts 80 --journal "$BASE/before" >"$BASE/out" 3>&- &
    pid=$!
    sleep 1
    cut
    wait_for 10 one ls --level one
    many bench --ops 500 --rows 50 --journal "$BASE/majority"
    one bench --ops 500 --rows 50 --level one --journal "$BASE/minority"
    wait $pid
    heal
    wait_for 20 one status
    wait_for 20 many status
    one bench --check "$BASE/majority"
    one bench --check "$BASE/before"
    # What one node took alone the others get without being asked for it.
    wait_for 60 replicas_agree
    many bench --check "$BASE/minority"
}

@test "a node that was cut off during deletions brings nothing back" {
    for i in 1 2 3 4 5 6; do many put /f$i $i; done
    cut
    for i in 1 2 3 4 5; do many del /f$i; done
    heal
    wait_for 20 one status
    [ "$(one ls)" = f6 ]
    wait_for 60 replicas_agree
    [ "$(one ls --level one)" = f6 ]
    [ "$(many ls)" = f6 ]
}
