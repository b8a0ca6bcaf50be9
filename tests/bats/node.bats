#!/usr/bin/env bats
# ringnode as a process: starting, ending, refusing, and strangers on its sockets.

load lib

teardown() {
    stop_cluster
}

node() { command "$BUILD/node/ringnode" "$@"; }

# ---- starting and ending ----

@test "a node says on one line that it serves, and ends cleanly on SIGTERM and SIGINT" {
    start_cluster 3
    [ "$(wc -l <"$BASE/n1.out")" -eq 1 ]
    grep -Eq '^ringnode 1: serving ipc://.*/s1 \(ring of 3, 34[12] slices owned\)$' "$BASE/n1.out"
    [ "$(cat "$BASE/n1.pid")" = "$(node_pid 1)" ]
    stop_node 1
    [ "$EXIT_CODE" -eq 0 ]
    [ ! -e "$BASE/n1.pid" ]
    grep -q 'info stopped' "$BASE/n1.log"
    kill -INT "$(node_pid 2)"
    wait_for 10 node_ended 2
    wait "$(node_pid 2)"
}

@test "the slices of all nodes are the whole ring" {
    start_cluster 3
    [ "$(cat "$BASE"/n?.out | sed 's/.*, \([0-9]*\) slices.*/\1/' | paste -sd+ | bc)" -eq 1024 ]
}

@test "SIGHUP reopens the log" {
    start_cluster 1
    mv "$BASE/n1.log" "$BASE/rotated"
    kill -HUP "$(node_pid 1)"
    wait_for 10 test -e "$BASE/n1.log"
    stop_node 1
    grep -q stopped "$BASE/n1.log"
    [ "$(grep -c stopped "$BASE/rotated")" -eq 0 ]
}

@test "log lines have a time and a level, and the log is its owner's" {
    start_cluster 1
    stop_node 1
    [ "$(stat -c %a "$BASE/n1.log")" = 600 ]
    [ "$(grep -Evc '^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z (error|warning|info) .' "$BASE/n1.log")" -eq 0 ]
}

@test "data directory, sockets and pid file are closed to others" {
    start_cluster 1
    [ "$(stat -c %a "$BASE/n1")" = 700 ]
    [ -z "$(find "$BASE/n1" -type f -perm /077)" ]
    [ "$(stat -c %a "$BASE/s1")" = 600 ]
    [ "$(stat -c %a "$BASE/s1.peer")" = 600 ]
}

@test "what was written survives kill -9 of every node" {
    start_cluster 3
    ringctl put /a kept
    for i in 1 2 3; do kill_node $i; done
    for i in 1 2 3; do start_node $i; done
    wait_for 10 ringctl get /a
    [ "$(ringctl get /a)" = kept ]
}

@test "what was written survives a clean stop of every node" {
    start_cluster 3
    ringctl put /a kept
    for i in 1 2 3; do stop_node $i; done
    for i in 1 2 3; do start_node $i; done
    wait_for 10 ringctl get /a
    [ "$(ringctl get /a)" = kept ]
}

@test "a killed node serves again after a restart, on the socket that it left behind" {
    start_cluster 3
    ringctl put /a 1
    kill_node 3
    [ -S "$BASE/s3" ]
    start_node 3
    wait_for 10 ringctl status
    ringctl put /b 2
}

@test "a cluster on tcp with a key works as one on ipc" {
    start_cluster 3 tcp
    ringctl put /a sealed
    [ "$(ringctl get /a)" = sealed ]
    kill_node 1
    [ "$(ringctl get /a)" = sealed ]
}

# ---- refusing ----

@test "bad options: a sentence and exit code 2" {
    make_base
    run node
    [ "$status" -eq 2 ]
    [[ "$output" == "ringnode: which node is this? Give --id" ]]
    run node --id 1 --data "$BASE/d"
    [ "$status" -eq 2 ]
    [[ "$output" == *--member* ]]
    run node --id 1 --data "$BASE/d" --member 1=tcp://127.0.0.1:7001
    [ "$status" -eq 2 ]
    [[ "$output" == *--key-file* ]]
    run node --id 1 --data "$BASE/d" --member 1=nowhere
    [ "$status" -eq 2 ]
    [[ "$output" == *"ipc:/// or tcp://"* ]]
    run node --id 1 --data "$BASE/d" --listen "ipc://$BASE/s" --log-file /none/such/log
    [ "$status" -eq 2 ]
    [[ "$output" == *"/none/such/log"* ]]
    [ ! -e "$BASE/d" ]
}

@test "--help, --version and --check-config start nothing" {
    make_base
    node --help | grep -q -- --write-quorum
    node --version | grep -Eq '^ringnode [0-9]'
    node --check-config --id 1 --data "$BASE/d" --listen "ipc://$BASE/s"
    [ ! -e "$BASE/d" ]
}

@test "every option of --help is in the manual" {
    make_base
    node --help | grep -o -- '^  --[a-z-]*' | while read -r option; do
        grep -q -- "^\*$option\*" "$BATS_TEST_DIRNAME/../../docs/man/ringnode.1.scd" || { echo "$option"; false; }
    done
}

@test "a configuration file does what the options do" {
    make_base
    printf '[ringnode]\nid = 1\ndata = %s/n1\nlisten = ipc://%s/s1\nlog-file = %s/n1.log\n' "$BASE" "$BASE" "$BASE" \
        >"$BASE/conf"
    "$BUILD/node/ringnode" --config "$BASE/conf" >"$BASE/n1.out" 2>"$BASE/n1.err" 3>&- &
    # shellcheck disable=SC2034 # lib's
    PIDS[1]=$!
    wait_for 10 node_serves 1
    stop_node 1
    [ "$EXIT_CODE" -eq 0 ]
    echo "speed = 3" >>"$BASE/conf"
    run node --config "$BASE/conf"
    [ "$status" -eq 2 ]
    [[ "$output" == *"conf: line 6 has an unknown name"* ]]
}

@test "the example configuration is in order" {
    run node --check-config --config "$BATS_TEST_DIRNAME/../../packaging/ringnode.conf"
    [ "$status" -eq 0 ]
}

@test "a second node on the same data directory is refused and the first goes on" {
    start_cluster 1
    run node --id 1 --data "$BASE/n1" --listen "ipc://$BASE/other"
    [ "$status" -eq 3 ]
    [[ "$output" == *"$BASE/n1 is in use by another ringnode (process $(node_pid 1))"* ]]
    ringctl put /a 1
}

@test "a second node on the same address is refused and the first goes on" {
    start_cluster 1
    run node --id 1 --data "$BASE/other" --listen "$(node_address 1)"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$BASE/s1"* ]]
    ringctl put /a 1
}

@test "the data directory of another node or cluster is refused" {
    start_cluster 1
    stop_node 1
    run node --id 2 --data "$BASE/n1" --listen "ipc://$BASE/s2"
    [ "$status" -eq 3 ]
    [[ "$output" == *"is the data directory of node 1, this is node 2"* ]]
    run node --id 1 --cluster other --data "$BASE/n1" --listen "ipc://$BASE/s2"
    [ "$status" -eq 3 ]
    [[ "$output" == *"another cluster"* ]]
    mkdir "$BASE/full"
    touch "$BASE/full/holiday.jpg"
    run node --id 1 --data "$BASE/full" --listen "ipc://$BASE/s2"
    [ "$status" -eq 3 ]
    [[ "$output" == *"not empty"* ]]
}

@test "rows that were damaged are refused, and --rebuild fetches them from the other replicas" {
    start_cluster 3
    for i in $(seq 20); do ringctl put "/f$i" "value $i"; done
    kill_node 1
    rm "$BASE/n1/rows/CURRENT"
    launch_node 1
    wait_for 10 node_ended 1
    code=0
    wait "$(node_pid 1)" || code=$?
    [ $code -eq 3 ]
    grep -q 'start once with --rebuild' "$BASE/n1.err"
    old=$(grep incarnation "$BASE/n1/superblock")
    start_node 1 --rebuild
    [ "$(grep incarnation "$BASE/n1/superblock")" != "$old" ]
    [ -d "$BASE/n1/damaged/rows" ]
    grep -q 'recovered 1024 of 1024 slices' "$BASE/n1.log"
    # All of it is there again, without the help of one of the two it came from.
    kill_node 2
    wait_for 10 ringctl get /f7
    for i in $(seq 20); do [ "$(ringctl get "/f$i")" = "value $i" ]; done
    # Left in a start script by mistake it does no harm.
    stop_node 1
    launch_node 1 --rebuild
    wait_for 10 node_ended 1
    grep -q 'start without --rebuild' "$BASE/n1.err"
}

@test "a node whose disk was lost fetches its rows before it serves" {
    start_cluster 3
    for i in $(seq 20); do ringctl put "/f$i" "value $i"; done
    kill_node 1
    rm -r "$BASE/n1"
    kill_node 2
    launch_node 1
    wait_for 10 grep -q 'recovering 1024 slices from their other replicas' "$BASE/n1.log"
    sleep 1 # nothing to wait for: that it does not happen
    run node_serves 1
    [ "$status" -ne 0 ]
    start_node 2
    wait_for 10 node_serves 1
    kill_node 2
    wait_for 10 ringctl get /f7
    for i in $(seq 20); do [ "$(ringctl get "/f$i")" = "value $i" ]; done
}

@test "a disk with too little free space refuses large writes, and still removes" {
    start_cluster 1
    head -c 20000 /dev/urandom >"$BASE/big"
    ringctl put /before - <"$BASE/big"
    stop_node 1
    free=$(df --output=avail -BM "$BASE" | tail -n 1 | tr -dc 0-9)
    [ "$free" -lt 600000 ] || skip "more free space than --reserve-mib can keep"
    start_node 1 --reserve-mib $((free * 3 / 2))
    run ringctl put /after - <"$BASE/big"
    [ "$status" -ne 0 ]
    [[ "$output" == *"no space left"* ]]
    ringctl get /before | cmp - "$BASE/big"
    ringctl put /small x
    ringctl del /before
    node_runs 1
}

# ---- strangers ----

# One SP handshake as a requester, then bytes.
raw() { printf '\0SP\0\0\060\0\0'; cat; }
# A length of 8 bytes, big-endian, below 256.
length() { printf '%b' "$(printf '\\0\\0\\0\\0\\0\\0\\0\\x%02x' "$1")"; }
port_of() { local a; a=$(node_address "$1"); echo "${a##*:}"; }

@test "garbage, a frame cut short and a silent connection leave a node serving" {
    start_cluster 3 tcp
    port=$(port_of 1)
    exec 7<>"/dev/tcp/127.0.0.1/$port" # says nothing, stays
    for p in "$port" $((port + 1)); do
        head -c 5000 /dev/urandom >"/dev/tcp/127.0.0.1/$p" || true
        { length 200; printf 'short'; } | raw >"/dev/tcp/127.0.0.1/$p" || true
    done
    ringctl put /a alive
    [ "$(ringctl get /a)" = alive ]
    node_runs 1
    exec 7>&-
}

@test "bad frames are refused and told once in the log" {
    start_cluster 1 tcp
    for _ in $(seq 20); do
        { length 20; printf '\x80\0\0\1nonsense nonsens'; } | raw >"/dev/tcp/127.0.0.1/$(port_of 1)" || true
    done
    wait_for 10 grep -q 'refused' "$BASE/n1.log"
    ringctl put /a alive
    [ "$(ringctl get /a)" = alive ]
    [ "$(grep -c 'refused' "$BASE/n1.log")" -eq 1 ]
}

@test "a client with another key is refused" {
    start_cluster 1 tcp
    "$BUILD/node/ringctl" keygen "$BASE/other"
    run command "$BUILD/node/ringctl" --cluster "$(node_address 1)" --key-file "$BASE/other" --timeout 2 status
    [ "$status" -ne 0 ]
    grep -q "not sealed with this cluster's key" "$BASE/n1.log"
    ringctl put /a 1
}
