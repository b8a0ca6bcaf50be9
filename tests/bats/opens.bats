#!/usr/bin/env bats
# Openings that ask nobody: while its leases run, a mount knows what every close before has left.

load lib

setup() {
    start_cluster 3
    start_mount "$BASE/a"
    A=$BASE/a B=$BASE/b
}

teardown() { stop_cluster; }

asked() { awk '$1 == "requests_asked" { print $2 }' "$1/.ringfs/stats"; }

# Runs COMMAND... and sets COST to the requests that the mount at DIR sent for it.
costs() { # DIR COMMAND...
    local dir=$1 before
    shift
    before=$(asked "$dir")
    "$@" >/dev/null || return 1
    [ -n "$before" ] && COST=$(($(asked "$dir") - before))
}

costs_at_most() { # DIR MOST COMMAND...
    costs "$1" "${@:3}" && [ "$COST" -le "$2" ]
}

make_files() { # DIR N
    mkdir -p "$1"
    for i in $(seq "$2"); do echo "line $i" >"$1/f$i"; done
}

@test "grep in a directory of 200 small files costs less than 20 requests, and none the next time" {
    make_files "$A/d" 200
    start_mount "$B"
    ls -l "$B/d" >/dev/null
    costs "$B" grep -rc line "$B/d"
    echo "first: $COST"
    [ "$COST" -lt 20 ]
    wait_for 20 costs_at_most "$B" 0 grep -rc line "$B/d"
    [ "$(grep -rh line "$B/d" | sort -u | wc -l)" = 200 ]
}

@test "listing a tree again asks nobody, and shows what is new" {
    make_files "$A/d/e" 5
    make_files "$A/d" 20
    start_mount "$B"
    find "$B/d" -printf '%P %y %s %i\n' | sort >"$BASE/first"
    wait_for 20 costs_at_most "$B" 0 ls -lR "$B/d"
    find "$B/d" -printf '%P %y %s %i\n' | sort | cmp - "$BASE/first"
    for i in $(seq 20); do
        echo new >"$A/d/e/new$i"
        [ "$(find "$B/d/e" -type f | wc -l)" = $((5 + i)) ]
    done
    rm "$A"/d/e/new*
    [ "$(find "$B/d/e" -type f | wc -l)" = 5 ]
}

@test "each of many updates is seen by the next opening elsewhere, in both directions" {
    mkdir "$A/d"
    start_mount "$B"
    for i in $(seq 150); do
        echo "a$i" >"$A/d/f"
        [ "$(cat "$B/d/f")" = "a$i" ]
        echo "b$i" >"$B/d/f"
        [ "$(cat "$A/d/f")" = "b$i" ]
    done
}

@test "a mount that is stopped holds writers up no longer than its lease, and wakes up knowing nothing" {
    make_files "$A/d" 20
    start_mount "$B"
    wait_for 20 costs_at_most "$B" 0 cat "$B"/d/f{1..20}
    local stopped
    stopped=$(worker_pid "$B")
    kill -STOP "$stopped"
    local began=$EPOCHREALTIME
    for i in $(seq 20); do echo "new $i" >"$A/d/f$i"; done
    echo "20 files in $(echo "$EPOCHREALTIME - $began" | bc) s"
    [ "$(echo "$EPOCHREALTIME - $began < 4" | bc)" = 1 ]
    kill -CONT "$stopped"
    for i in $(seq 20); do [ "$(cat "$B/d/f$i")" = "new $i" ]; done
}

@test "with a node away and back nothing is missed" {
    make_files "$A/d" 5
    start_mount "$B"
    wait_for 20 costs_at_most "$B" 0 cat "$B"/d/f{1..5}
    kill_node 2
    for i in $(seq 30); do
        echo "a$i" >"$A/d/f1"
        [ "$(cat "$B/d/f1")" = "a$i" ]
    done
    start_node 2
    for i in $(seq 60); do
        echo "c$i" >"$A/d/f1"
        [ "$(cat "$B/d/f1")" = "c$i" ]
    done
    wait_for 30 costs_at_most "$B" 0 cat "$B"/d/f{1..5}
}
