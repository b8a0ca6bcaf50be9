#!/usr/bin/env bats
# ringctl on three real nodes.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

@test "what put wrote is what get prints, byte for byte" {
    ringctl put /greeting "hello"
    [ "$(ringctl get /greeting)" = hello ]
    head -c 3000 /dev/urandom >"$BASE/binary"
    ringctl put /binary <"$BASE/binary"
    ringctl get /binary | cmp - "$BASE/binary"
}

@test "put replaces the old value" {
    ringctl put /a one
    ringctl put /a two
    [ "$(ringctl get /a)" = two ]
}

@test "a value of 5 MB streams both ways" {
    head -c 5000000 /dev/urandom >"$BASE/big"
    ringctl put /big - <"$BASE/big"
    ringctl get /big | cmp - "$BASE/big"
    ringctl put /big small
    [ "$(ringctl get /big)" = small ]
}

@test "an empty value is a file" {
    ringctl put /empty ""
    ringctl get /empty >"$BASE/out"
    [ ! -s "$BASE/out" ]
}

@test "one address of a cluster is enough, whichever it is" {
    ringctl put /a one
    local member
    for member in "${MEMBERS[@]}"; do
        [ "$(command "$BUILD/node/ringctl" --cluster "${member#*=}" "${KEY[@]}" get /a)" = one ]
    done
}

@test "what is not there is exit code 3 and a sentence" {
    run ringctl get /nothing
    [ "$status" -eq 3 ]
    [[ "$output" == *"/nothing"* ]]
    run ringctl del /nothing
    [ "$status" -eq 3 ]
    run ringctl put /no/such/directory x
    [ "$status" -eq 3 ]
}

@test "del removes, and ls shows what is left" {
    ringctl put /a 1
    ringctl put /b 2
    [ "$(ringctl ls / | sort | paste -sd,)" = "a,b" ]
    ringctl del /a
    [ "$(ringctl ls)" = b ]
    run ringctl get /a
    [ "$status" -eq 3 ]
}

@test "a value may begin with a dash, behind two" {
    ringctl put -- /dash -v
    [ "$(ringctl get /dash)" = -v ]
}

@test "ls -l tells mode, size and name" {
    ringctl put /five 12345
    [[ "$(ringctl ls -l)" == -rw-r--r--*" 5 "*" five" ]]
    [[ "$(ringctl stat /five)" == *"size      5"* ]]
}

@test "a large put goes on when a node dies in the middle" {
    head -c 30000000 /dev/urandom >"$BASE/big"
    { head -c 10000000 "$BASE/big"; kill -KILL "$(node_pid 3)"; tail -c +10000001 "$BASE/big"; } |
        ringctl put /big
    ringctl get /big | cmp - "$BASE/big"
    [[ "$(ringctl where /big)" == *"node 3 "*silent* ]]
}

@test "a node that hangs holds up nobody" {
    kill -STOP "$(node_pid 2)"
    local start=$SECONDS
    for i in 1 2 3 4 5 6; do
        ringctl put "/f$i" "$i"
        [ "$(ringctl get "/f$i")" = "$i" ]
    done
    [ $((SECONDS - start)) -le 6 ]
    kill -CONT "$(node_pid 2)"
}

@test "every command tells its usage" {
    local command
    for command in $(ringctl --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        [[ "$(ringctl "$command" --help)" == "Usage: ringctl [OPTION]... $command"* ]]
    done
}

@test "every command and every option of --help is in the manual" {
    local command option manual="$BATS_TEST_DIRNAME/../../docs/man/ringctl.1.scd"
    for command in $(ringctl --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        grep -q "^\*$command\*" "$manual" || { echo "$command"; false; }
        for option in $(ringctl "$command" --help | sed -n '/^Options/,$s/^  \(-., \)\{0,1\}\(--[a-z-]*\).*/\2/p'); do
            grep -q -- "\*$option\*" "$manual" || { echo "$command $option"; false; }
        done
    done
}

@test "usage errors are exit code 2" {
    run ringctl bogus
    [ "$status" -eq 2 ]
    run ringctl put
    [ "$status" -eq 2 ]
    run ringctl --timeout never status
    [ "$status" -eq 2 ]
    run ringctl ls --no-such-option
    [ "$status" -eq 2 ]
    [[ "$output" == *"--no-such-option"* ]]
    run ringctl --help
    [ "$status" -eq 0 ]
    run ringctl put --help
    [ "$status" -eq 0 ]
}

@test "with one node of three killed everything goes on, status says which is silent" {
    ringctl put /a before
    kill_node 2
    [ "$(ringctl get /a)" = before ]
    ringctl put /b after
    [ "$(ringctl get /b)" = after ]
    run ringctl status
    [ "$status" -eq 1 ]
    [[ "$output" == *silent* ]]
    start_node 2
    wait_for 10 ringctl status
}

@test "with two of three killed put and get fail with exit code 4 within the timeout" {
    ringctl put /a before
    kill_node 1
    kill_node 2
    local start=$SECONDS
    run ringctl --timeout 3 put /a after
    [ "$status" -eq 4 ] || [ "$status" -eq 6 ]
    run ringctl --timeout 3 get /a
    [ "$status" -eq 4 ]
    [ $((SECONDS - start)) -le 8 ]
    start_node 1
    start_node 2
    wait_for 10 ringctl get /a
}

@test "without a cluster: exit code 4 and a sentence" {
    run command "$BUILD/node/ringctl" --cluster "ipc://$BASE/nowhere" --timeout 1 status
    [ "$status" -eq 4 ]
    [[ "$output" == *"no node answers"* ]]
}

@test "--json is JSON" {
    ringctl put /a 1
    for command in status ring "where /a" "stat /a" "ls /"; do
        # shellcheck disable=SC2086 # a command and its argument
        ringctl --json $command | python3 -c 'import json, sys; json.load(sys.stdin)'
    done
    [ "$(ringctl --json where /a | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["replicas"]))')" = 3 ]
}

@test "keygen writes a key that only its owner can read, and never overwrites one" {
    ringctl keygen "$BASE/key"
    [ "$(stat -c %a "$BASE/key")" = 600 ]
    run ringctl keygen "$BASE/key"
    [ "$status" -eq 1 ]
    [[ "$output" == *"left alone"* ]]
}
