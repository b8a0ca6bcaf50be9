#!/usr/bin/env bats
# Nothing that was acknowledged is lost, whatever is done to a node in the middle of it.
#
# RINGFS_ROUNDS=20 makes it the long form; RINGFS_SEED=N repeats the choice of nodes and moments of a run.

load lib

ROUNDS=${RINGFS_ROUNDS:-4}

setup() {
    start_cluster 3
    start_mount
    RANDOM=${RINGFS_SEED:=$RANDOM}
    echo "RINGFS_SEED=$RINGFS_SEED"
    JOBS=()
    make_tree "$BASE/tree"
}

teardown() {
    local pid
    for pid in "${JOBS[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${PIDS[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
    stop_cluster
}

# Small files, files in blocks, one of many blocks.
make_tree() { # DIR
    local i
    mkdir -p "$1/sub/deep"
    for i in $(seq 60); do echo "file $i" >"$1/sub/f$i"; done
    for i in $(seq 10); do head -c $((i * 9000)) /dev/urandom >"$1/sub/deep/b$i"; done
    head -c 6000000 /dev/urandom >"$1/large"
}

background() { # OUT ringctl's ARGUMENT...: its id in STARTED
    local out=$1
    shift
    command "$BUILD/node/ringctl" --cluster "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" \
        "$@" >"$BASE/$out.out" 2>"$BASE/$out.err" 3>&- &
    STARTED=$!
    JOBS+=("$STARTED")
}

# Writers for as long as the test lasts: with contexts, and under conditions.
start_writers() {
    background eventual bench --seconds 3600 --clients 4 --rows 200 --puts 80 --journal "$BASE/eventual"
    WRITERS=("$STARTED")
    background strict bench --seconds 3600 --clients 4 --rows 200 --puts 80 --strict --journal "$BASE/strict"
    WRITERS+=("$STARTED")
}

written() { # N: acknowledged to each
    [ "$(wc -l <"$BASE/eventual")" -gt "$1" ] && [ "$(wc -l <"$BASE/strict")" -gt "$1" ]
}

stop_writers() {
    local pid
    wait_for 60 written 500
    for pid in "${WRITERS[@]}"; do
        kill -TERM "$pid"
        wait_for 10 process_gone "$pid"
    done
    # A read that showed less than what was acknowledged is told there.
    cat "$BASE/eventual.err" "$BASE/strict.err"
    [ ! -s "$BASE/eventual.err" ] && [ ! -s "$BASE/strict.err" ]
}
process_gone() { # also when it is a child that has ended
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [ "${state%% *}" = Z ]
}

random_sleep() { # MAX_MS
    local ms=$((RANDOM % $1))
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# Copies the tree onto the mount while `hurt NODE` is done to a random node and undone with `mend NODE`.
round() { # NUMBER
    local node=$((RANDOM % 3 + 1)) copy
    timeout 120 cp -r "$BASE/tree" "$MNT/copy$1" 3>&- &
    copy=$!
    JOBS+=("$copy")
    random_sleep 1200
    echo "round $1: node $node"
    hurt $node
    random_sleep 1200
    mend $node
    wait $copy
    diff -r "$BASE/tree" "$MNT/copy$1"
}

replicas_agree() { ringctl repair --all && ringctl verify; }

everything_is_there() { # NUMBER-OF-COPIES
    local i
    wait_for 20 ringctl status
    wait_for 60 replicas_agree
    ringctl bench --check "$BASE/eventual"
    ringctl bench --check "$BASE/strict"
    for i in $(seq "$1"); do diff -r "$BASE/tree" "$MNT/copy$i"; done
}

@test "kill -9 of any node at any moment: no acknowledged write is missing, every copied tree is whole" {
    hurt() { kill_node "$1"; }
    mend() { start_node "$1"; }
    start_writers
    for i in $(seq "$ROUNDS"); do round "$i"; done
    stop_writers
    everything_is_there "$ROUNDS"
}

@test "a node that stands still for five seconds: no acknowledged write is missing, every copied tree is whole" {
    local n=$(((ROUNDS + 3) / 4))
    hurt() { kill -STOP "$(node_pid "$1")" && sleep 5; }
    mend() { kill -CONT "$(node_pid "$1")"; }
    start_writers
    for i in $(seq "$n"); do round "$i"; done
    stop_writers
    everything_is_there "$n"
}

@test "all nodes killed at once: what was acknowledged is there when they are back" {
    start_writers
    for i in $(seq $((ROUNDS / 2))); do
        wait_for 30 written $((i * 300)) # nodes that start acknowledge nothing for 0.6 s
        random_sleep 2000
        kill -KILL "$(node_pid 1)" "$(node_pid 2)" "$(node_pid 3)"
        for n in 1 2 3; do kill_node $n || true; done # and reaped
        for n in 1 2 3; do start_node $n; done
        wait_for 20 ringctl status
    done
    wait_for 30 written 600
    stop_writers
    everything_is_there 0
}

@test "two clients race for the same rows while nodes are killed and restarted: one winner each time" {
    local node kills=0
    background race bench --race $((ROUNDS < 20 ? 1000 : 10000))
    while ! process_gone "$STARTED"; do
        node=$((RANDOM % 3 + 1))
        kill_node $node
        random_sleep 700
        start_node $node
        random_sleep 700
        kills=$((kills + 1))
    done
    cat "$BASE/race.out" "$BASE/race.err"
    echo "$kills nodes killed"
    wait "$STARTED"
    [ $kills -ge 2 ]
}

@test "two of five nodes killed at once: what others took in their place is there when they are back" {
    local a b
    stop_cluster
    start_cluster 5
    ringctl put /f before
    background eventual bench --seconds 3600 --clients 8 --rows 400 --puts 100 --journal "$BASE/eventual"
    for _ in $(seq $((ROUNDS / 2))); do
        a=$((RANDOM % 5 + 1)) b=$(((a + RANDOM % 4) % 5 + 1))
        random_sleep 800
        kill_node $a
        kill_node $b
        random_sleep 3000
        start_node $a
        start_node $b
        wait_for 20 ringctl status
    done
    kill -TERM "$STARTED"
    wait_for 10 process_gone "$STARTED"
    [ "$(wc -l <"$BASE/eventual")" -gt 500 ]
    wait_for 60 replicas_agree
    ringctl bench --check "$BASE/eventual"
}

@test "a node that was away while files were removed brings none back" {
    cp -r "$BASE/tree" "$MNT/kept"
    cp -r "$BASE/tree" "$MNT/gone"
    kill_node 2
    rm -r "$MNT/gone" "$MNT/kept/sub"
    start_node 2
    wait_for 20 ringctl status
    wait_for 60 replicas_agree
    # Through the one that was away and each of the others in turn.
    for n in 2 1 3; do
        kill_node $n
        [ "$(ringctl ls / | sort | paste -sd' ')" = kept/ ]
        [ "$(ringctl ls /kept)" = large ]
        start_node $n
        wait_for 20 ringctl status
    done
    [ "$(find "$MNT" -mindepth 1 | wc -l)" -eq 2 ]
    cmp "$BASE/tree/large" "$MNT/kept/large"
}
