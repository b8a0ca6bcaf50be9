#!/usr/bin/env bats
# ringctl with contexts, conditions and levels: concurrent versions are made, shown and resolved.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

of() { # EXPRESSION PATH: of what get --all --json tells, as `v`
    ringctl --json get --all "$2" | python3 -c "import json, sys; v = json.load(sys.stdin); print($1)"
}
context() { of 'v["context"]' "$1"; }
values() { of '" ".join(sorted(s.get("value", "-") for s in v["siblings"]))' "$1"; }

@test "a put with the context of all there is replaces it" {
    ringctl put /a one
    ringctl put --context "$(context /a)" /a two
    [ "$(values /a)" = two ]
    [ "$(ringctl get /a)" = two ]
}

@test "a put that has not seen the newest version stays beside it, and get --all shows both" {
    ringctl put /a one
    local seen
    seen=$(context /a)
    ringctl put --context "$seen" /a two
    ringctl put --context "$seen" /a three
    [ "$(values /a)" = "three two" ]
    run ringctl get --all /a
    [ "$status" -eq 0 ]
    [ "$(grep -c ' file$' <<<"$output")" -eq 2 ]
    [ "$(grep -c '^\*' <<<"$output")" -eq 1 ]
    [ "$(context /a)" = "$(sed -n 's/^context //p' <<<"$output")" ]
}

@test "a blind put replaces nothing; every dot tells its node and can be read" {
    run ringctl put --blind /a one
    [[ "$output" != *"not seen"* ]]
    run ringctl put --blind /a two
    [ "$status" -eq 0 ]
    [[ "$output" == *"stands beside versions that were not seen"*"context none"* ]] ||
        [[ "$output" == *"context none"*"stands beside versions that were not seen"* ]]
    [ "$(values /a)" = "one two" ]
    local dot
    for dot in $(of '" ".join(s["dot"] for s in v["siblings"])' /a); do
        [[ "$(ringctl get --dot "$dot" /a)" =~ ^(one|two)$ ]]
        [[ "${dot%%.*}" =~ ^[123]$ ]]
    done
    run ringctl get --dot 9.9.9.9 /a
    [ "$status" -eq 3 ]
}

@test "put prints the context of what it wrote, which the next put can use" {
    local seen
    seen=$(ringctl put --blind /a one | sed -n 's/^context //p')
    seen=$(ringctl put --context "$seen" /a two | sed -n 's/^context //p')
    ringctl put --if-match "$seen" /a three
    [ "$(values /a)" = three ]
}

@test "if-match refuses what has changed with exit code 5, and writes nothing" {
    ringctl put /a one
    local seen
    seen=$(context /a)
    ringctl put /a two
    run ringctl put --if-match "$seen" /a three
    [ "$status" -eq 5 ]
    run ringctl del --if-match "$seen" /a
    [ "$status" -eq 5 ]
    [ "$(values /a)" = two ]
    ringctl put --if-match "$(context /a)" /a three
    [ "$(ringctl get /a)" = three ]
}

@test "if-absent writes once" {
    ringctl put --if-absent /a one
    run ringctl put --if-absent /a two
    [ "$status" -eq 5 ]
    [ "$(ringctl get /a)" = one ]
    ringctl del /a
    ringctl put --if-absent /a three
    [ "$(ringctl get /a)" = three ]
    run ringctl put --if-absent /no/directory x
    [ "$status" -eq 3 ]
}

@test "a deletion that has not seen the newest version leaves it, and stays as a version" {
    ringctl put /a one
    local seen
    seen=$(context /a)
    ringctl put /a two
    ringctl del --context "$seen" /a
    [ "$(ringctl get /a)" = two ]
    [ "$(of 'sum(s["tombstone"] for s in v["siblings"])' /a)" -eq 1 ]
    ringctl del --context "$(context /a)" /a
    run ringctl get /a
    [ "$status" -eq 3 ]
    [ "$(of 'len(v["siblings"])' /a)" -eq 1 ]
}

@test "resolve makes one version of several, the one kept or a new one" {
    ringctl put --blind /a one
    ringctl put --blind /a two
    ringctl put --blind /a three
    ringctl resolve /a --keep "$(of '[s["dot"] for s in v["siblings"] if s["value"] == "two"][0]' /a)"
    [ "$(values /a)" = two ]
    ringctl put --blind /a four
    ringctl resolve /a --value five
    [ "$(values /a)" = five ]
    run ringctl resolve /a --keep 1.2.3.4
    [ "$status" -eq 3 ]
    run ringctl resolve /a
    [ "$status" -eq 2 ]
}

@test "contents in blocks can be put, shown and resolved too" {
    head -c 300000 /dev/urandom >"$BASE/one"
    head -c 200000 /dev/urandom >"$BASE/two"
    ringctl put --blind /a <"$BASE/one"
    ringctl put --blind /a <"$BASE/two"
    local dot
    dot=$(of '[s["dot"] for s in v["siblings"] if s["size"] == 300000][0]' /a)
    ringctl get --dot "$dot" /a | cmp - "$BASE/one"
    ringctl resolve /a --keep "$dot"
    ringctl get /a | cmp - "$BASE/one"
    ringctl put --if-match "$(context /a)" /a <"$BASE/two"
    ringctl get /a | cmp - "$BASE/two"
}

@test "a level says how many replicas must answer" {
    ringctl put /a one
    ringctl put --level all /a two
    kill_node 1
    run ringctl --timeout 3 put --blind --level all /b x
    [[ "$status" =~ ^[46]$ ]]
    run ringctl --timeout 3 get --level all /a
    [ "$status" -eq 4 ]
    [[ "$output" == *"(2 of 3 replicas answered, node 1 did not)"* ]]
    [ "$(ringctl get --level quorum /a)" = two ]
    kill_node 2
    run ringctl --timeout 3 get /a
    [ "$status" -eq 4 ]
    [[ "$output" == *"(1 of 2 replicas answered, nodes 1 and 2 did not)"* ||
        "$output" == *"(1 of 2 replicas answered, nodes 2 and 1 did not)"* ]]
    wait_for 10 ringctl get --level one /a
    [ "$(ringctl get --level one /a)" = two ]
    ringctl put --blind --level one /a three
    [[ " $(ringctl --json get --all --level one /a) " == *three* ]]
    start_node 1
    start_node 2
    wait_for 20 ringctl status
    wait_for 60 ringctl repair --all # only node 3 has it: a quorum may be the two others
    [[ "$(values /a)" == *three* ]]
}

@test "a put that was sent and got no answer is exit code 6, and asks to be looked at" {
    mkfifo "$BASE/value"
    command "$BUILD/node/ringctl" --cluster "$(node_address 1),$(node_address 2),$(node_address 3)" --timeout 3 \
        put --blind /a <"$BASE/value" 2>"$BASE/said" 3>&- &
    local pid=$! status=0
    exec 4>"$BASE/value"
    wait_for 20 grep -q '^0 0x0 ' "/proc/$pid/syscall" # it has asked what it had to, and reads its input
    kill -STOP "$(node_pid 2)" "$(node_pid 3)"
    echo x >&4
    exec 4>&-
    wait $pid || status=$?
    kill -CONT "$(node_pid 2)" "$(node_pid 3)"
    cat "$BASE/said"
    [ "$status" -eq 6 ]
    grep -q "may or may not have happened (1 of 2 replicas answered, nodes 2 and 3 did not); look at it" "$BASE/said"
}

@test "a strict read shows what was written, and needs a majority" {
    ringctl put /a one
    [ "$(ringctl get --strict /a)" = one ]
    kill_node 1
    ringctl put /a two
    [ "$(ringctl get --strict /a)" = two ]
    kill_node 2
    run ringctl --timeout 3 get --strict --level one /a
    [ "$status" -eq 4 ]
}

@test "what is not a context or a level is exit code 2" {
    run ringctl put --context xyz /a one
    [ "$status" -eq 2 ]
    run ringctl put --context 00 --blind /a one
    [ "$status" -eq 2 ]
    run ringctl put --if-match ffff /a one
    [ "$status" -eq 2 ]
    run ringctl get --level two /a
    [ "$status" -eq 2 ]
}
