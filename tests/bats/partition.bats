#!/usr/bin/env bats
# Three nodes on tcp in two network namespaces, two here and one there, and a router between that can be told to drop
# everything: what each side still does, and what is left when they meet again. Needs root.

load lib

setup() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    ip netns add "rfs$$r" 2>/dev/null || skip "network namespaces cannot be made here"
    make_base
    MANY="ip netns exec rfs$$a" ONE="ip netns exec rfs$$b"
    make_network
    "$BUILD/node/ringctl" keygen "$BASE/key" >/dev/null
    KEY=(--key-file "$BASE/key")
    MEMBERS=("1=tcp://10.77.1.2:7001" "2=tcp://10.77.1.2:7011" "3=tcp://10.77.2.2:7001")
    # shellcheck disable=SC2034 # lib's
    NODE_INSIDE=([1]="$MANY" [2]="$MANY" [3]="$ONE")
    for i in 1 2 3; do launch_node $i; done
    for i in 1 2 3; do wait_for 20 node_serves $i; done
    wait_for 20 many status
}

teardown() {
    stop_cluster
    for name in a b r; do ip netns del "rfs$$$name" 2>/dev/null || true; done
}

make_network() {
    local side net=0
    ip netns exec "rfs$$r" sysctl -qw net.ipv4.ip_forward=1
    for side in a b; do
        net=$((net + 1))
        ip netns add "rfs$$$side"
        ip link add "v$side" netns "rfs$$$side" type veth peer name "v$side" netns "rfs$$r"
        ip -n "rfs$$r" addr add 10.77.$net.1/24 dev "v$side"
        ip -n "rfs$$r" link set "v$side" up
        ip -n "rfs$$$side" link set lo up
        ip -n "rfs$$$side" addr add 10.77.$net.2/24 dev "v$side"
        ip -n "rfs$$$side" link set "v$side" up
        ip -n "rfs$$$side" route add default via 10.77.$net.1
    done
}

cut() { ip netns exec "rfs$$r" sysctl -qw net.ipv4.ip_forward=0; }
heal() { ip netns exec "rfs$$r" sysctl -qw net.ipv4.ip_forward=1; }

# ringctl on each side; it knows all nodes.
on_side() { # PREFIX-OF-NAMESPACE ARGUMENT...
    local inside=$1
    shift
    # shellcheck disable=SC2086 # a command and its arguments
    $inside "$BUILD/node/ringctl" --cluster "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" \
        "${KEY[@]}" "$@"
}
many() { on_side "$MANY" "$@"; }
one() { on_side "$ONE" "$@"; }
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
