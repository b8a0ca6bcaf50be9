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

# In the background, for as long as the test lasts.
start_bench() { # OPTION...
    command "$BUILD/node/ringctl" --cluster "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" \
        bench --seconds 3600 "$@" >"$BASE/bench.out" 2>"$BASE/bench.err" 3>&- &
    BENCH=$!
    JOBS+=("$BENCH")
}

stop_bench() {
    kill -TERM "$BENCH"
    wait_for 10 process_gone "$BENCH"
    cat "$BASE/bench.err"
    [ ! -s "$BASE/bench.err" ] # a read that showed less than what was acknowledged is told there
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

everything_is_there() {
    local i
    wait_for 20 ringctl status
    ringctl bench --check "$BASE/journal"
    for i in $(seq "$1"); do diff -r "$BASE/tree" "$MNT/copy$i"; done
}

@test "kill -9 of any node at any moment: no acknowledged write is missing, every copied tree is whole" {
    hurt() { kill_node "$1"; }
    mend() { start_node "$1"; }
    start_bench --clients 6 --rows 300 --puts 80 --journal "$BASE/journal"
    for i in $(seq "$ROUNDS"); do round "$i"; done
    stop_bench
    everything_is_there "$ROUNDS"
}

@test "a node that stands still for five seconds: no acknowledged write is missing, every copied tree is whole" {
    local n=$(((ROUNDS + 3) / 4))
    hurt() { kill -STOP "$(node_pid "$1")" && sleep 5; }
    mend() { kill -CONT "$(node_pid "$1")"; }
    start_bench --clients 6 --rows 300 --puts 80 --journal "$BASE/journal"
    for i in $(seq "$n"); do round "$i"; done
    stop_bench
    everything_is_there "$n"
}

@test "all nodes killed at once: what was acknowledged is there when they are back" {
    start_bench --clients 6 --rows 300 --puts 100 --journal "$BASE/journal"
    for i in $(seq $((ROUNDS / 2))); do
        random_sleep 2000
        kill -KILL "$(node_pid 1)" "$(node_pid 2)" "$(node_pid 3)"
        for n in 1 2 3; do kill_node $n || true; done # and reaped
        for n in 1 2 3; do start_node $n; done
        wait_for 20 ringctl status
    done
    stop_bench
    everything_is_there 0
}

@test "a node that was away while files were removed brings none back" {
    cp -r "$BASE/tree" "$MNT/kept"
    cp -r "$BASE/tree" "$MNT/gone"
    kill_node 2
    rm -r "$MNT/gone" "$MNT/kept/sub"
    start_node 2
    wait_for 20 ringctl status
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
