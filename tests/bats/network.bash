# network.bash: two sides of a network that can be cut. Needs lib.bash and root.
#
#   start_two_sides        nodes 1 and 2 on tcp on one side, 3 on the other, and a router between; skips where it cannot be made
#   stop_two_sides         all of that undone; for teardown
#   cut, heal              the router drops everything, or nothing
#   many, one ...          ringctl on each side
#   $MANY, $ONE            what runs a command there

start_two_sides() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    ip netns add "rfs$$r" 2>/dev/null || skip "network namespaces cannot be made here"
    make_base
    MANY="nsenter --net=/run/netns/rfs$$a" ONE="nsenter --net=/run/netns/rfs$$b" # the mounts stay ours
    make_network
    "$BUILD/node/ringctl" keygen "$BASE/key" >/dev/null
    KEY=(--key-file "$BASE/key")
    MEMBERS=("1=tcp://10.77.1.2:7001" "2=tcp://10.77.1.2:7011" "3=tcp://10.77.2.2:7001")
    # shellcheck disable=SC2034 # lib's
    NODE_INSIDE=([1]="$MANY" [2]="$MANY" [3]="$ONE")
    for i in 1 2 3; do launch_node $i; done
    for i in 1 2 3; do wait_for 20 node_serves $i; done
}

stop_two_sides() {
    local name
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
