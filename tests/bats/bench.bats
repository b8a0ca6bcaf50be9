#!/usr/bin/env bats
# ringctl bench: its figures, its journal and its race, and that they can fail.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

field() { # NAME...: of the JSON on standard input
    python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, name: value[name], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

@test "bench does as many requests as it is told to" {
    ringctl bench --json --ops 500 --clients 4 --puts 50 --rows 20 >"$BASE/report"
    local puts gets
    puts=$(field put operations <"$BASE/report")
    gets=$(field get operations <"$BASE/report")
    [ $((puts + gets)) -eq 500 ]
    [ "$puts" -gt 100 ]
    [ "$gets" -gt 100 ]
    [ "$(field failed <"$BASE/report")" -eq 0 ]
}

@test "bench runs as long as it is told to, synced and strict too" {
    local start=$SECONDS
    ringctl bench --seconds 2 --size 4096 --synced --strict
    [ $((SECONDS - start)) -le 20 ]
}

@test "a journal of acknowledged writes is checked, and one that says more fails" {
    ringctl bench --seconds 1 --puts 70 --rows 50 --journal "$BASE/journal"
    ringctl bench --check "$BASE/journal"
    echo "7 1000000" >>"$BASE/journal"
    run ringctl bench --check "$BASE/journal"
    [ "$status" -eq 1 ]
    [[ "$output" == *"row 7: write 1000000 was acknowledged, and the last found is "* ]]
    [[ "$output" == *" 1 missing, "* ]]
    run ringctl bench --journal "$BASE/journal"
    [ "$status" -eq 1 ]
    [[ "$output" == *exists* ]]
}

@test "a check with too few replicas is exit code 4, not success" {
    ringctl bench --ops 20 --rows 16 --journal "$BASE/journal"
    kill_node 1
    kill_node 2
    run ringctl bench --timeout 2 --check "$BASE/journal"
    [ "$status" -eq 4 ]
    [[ "$output" =~ \ [1-9][0-9]*\ unread ]]
}

@test "a race has one winner each time" {
    ringctl bench --json --race 200 >"$BASE/report"
    [ "$(field faults <"$BASE/report")" -eq 0 ]
    [ "$(field won_by_first <"$BASE/report")" -gt 0 ]
    [ "$(field won_by_first <"$BASE/report")" -lt 200 ]
}

@test "wrong options of bench are exit code 2" {
    local options
    for options in "--puts 101" "--size 23" "--clients 0" "--race none" "--check"; do
        # shellcheck disable=SC2086 # an option and its value
        run ringctl bench $options
        [ "$status" -eq 2 ]
    done
}
