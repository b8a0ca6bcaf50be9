#!/usr/bin/env bats
# A disk that is full, and has space again: the node goes on by itself.

load lib

setup() {
    [ "$(id -u)" -eq 0 ] || skip "mounting a small tmpfs takes root"
}

teardown() {
    stop_cluster_on_small_disk
}

stop_cluster_on_small_disk() {
    local i
    for i in 1 2 3; do kill -KILL "$(node_pid $i)" 2>/dev/null || true; done
    [ -z "${SMALL-}" ] || wait_for 10 umount "$SMALL" # a thread of node 1 may be writing still
    stop_cluster
}

# Node 1 on a disk of its own, of so many MiB.
start_on_small_disk() { # MIB
    start_cluster 3
    stop_node 1
    rm -r "$BASE/n1"
    mkdir "$BASE/n1"
    mount -t tmpfs -o "size=${1}m" ringfs-test "$BASE/n1" || skip "no tmpfs can be mounted"
    SMALL=$BASE/n1
    start_node 1 --reserve-mib 1
}

counter() { # NODE NAME
    ringctl --json status | python3 -c '
import json, sys
for node in json.load(sys.stdin)["nodes"]:
    if node["id"] == int(sys.argv[1]): print(node["stats"][sys.argv[2]])' "$1" "$2"
}
disk_cut_short() { grep -q 'a write to the disk of .* failed' "$BASE/n1.log"; }
counter_is() { [ "$(counter "$1" "$2")" = "$3" ]; }

@test "a node whose disk is full reads on, says so, and goes on when there is space" {
    start_on_small_disk 60
    ringctl put /before old
    dd if=/dev/zero of="$SMALL/fill" bs=1M 2>/dev/null || true
    for i in $(seq 5); do ringctl put "/full$i" "value $i"; done
    # What fits the last page of its log is still taken.
    written_until_read_only() { ringctl put --blind /fills "$RANDOM" && counter_is 1 read_only 1; }
    wait_for 10 written_until_read_only
    grep -q 'error read-only until the disk takes writes again: no space left on the node' "$BASE/n1.log"
    ringctl status | grep -q '^node 1 is read-only until its disk takes writes again: no space left'
    [ "$(ringctl get /before)" = old ]
    for i in $(seq 5); do ringctl put "/fuller$i" "value $i"; done
    rm "$SMALL/fill"
    wait_for 10 counter_is 1 read_only 0
    grep -q 'info the disk takes writes again' "$BASE/n1.log"
    kill_node 3
    wait_for 10 ringctl put /after new
    for i in $(seq 5); do [ "$(ringctl get "/fuller$i")" = "value $i" ]; done
}

@test "a write that the disk cut short is left behind when there is space" {
    start_on_small_disk 150
    ringctl put /before old
    dd if=/dev/zero of="$SMALL/fill" bs=1M count=100 2>/dev/null
    # Values that LevelDB keeps itself, written faster than the free space is looked at, so that
    # LevelDB meets the end of the disk. All of them fit when the space is back.
    for i in $(seq 8); do
        ringctl bench --clients 16 --seconds 2 --size 3000 --rows 2000 --journal "$BASE/journal$i" >/dev/null || true
        ! disk_cut_short || break
    done
    disk_cut_short
    node_runs 1
    wait_for 10 counter_is 1 read_only 1
    rm "$SMALL/fill"
    wait_for 20 counter_is 1 read_only 0
    [ "$(counter 1 disk_reopened)" -ge 1 ]
    [ "$(ringctl get /before)" = old ]
    kill_node 3
    wait_for 10 ringctl put /after new
    for journal in "$BASE"/journal*; do ringctl bench --check "$journal"; done
    # And the log that goes on can be read by the next start.
    kill_node 1
    start_node 1 --reserve-mib 1
    [ "$(ringctl get /after)" = new ]
}

@test "large values that find no space are stored when there is some, and outlive the next start" {
    start_on_small_disk 150
    ringctl put /before old
    dd if=/dev/zero of="$SMALL/fill" bs=1M count=130 2>/dev/null
    # Values that go to segments: twice 24 MB, of which not all fit, and all do when the space is back.
    for i in 1 2; do
        ringctl bench --clients 16 --seconds 2 --size 12000 --rows 2000 --journal "$BASE/journal$i" >/dev/null || true
    done
    node_runs 1
    wait_for 10 counter_is 1 read_only 1
    rm "$SMALL/fill"
    wait_for 20 counter_is 1 read_only 0
    [ "$(ringctl get /before)" = old ]
    kill_node 3
    wait_for 10 ringctl put /after new
    for journal in "$BASE"/journal*; do ringctl bench --check "$journal"; done
    kill_node 1
    start_node 1 --reserve-mib 1
    [ "$(ringctl get /after)" = new ]
    for journal in "$BASE"/journal*; do ringctl bench --check "$journal"; done
}

@test "a node that is killed while its disk is full starts again, reads, and writes when there is space" {
    start_on_small_disk 60
    ringctl put /before old
    wait_for 20 ringctl verify
    kill_node 1
    dd if=/dev/zero of="$SMALL/fill" bs=1M count=45 2>/dev/null
    start_node 1 --reserve-mib 40
    for i in $(seq 5); do ringctl put "/full$i" "value $i"; done
    wait_for 10 counter_is 1 read_only 1
    kill_node 2
    [ "$(ringctl --timeout 10 get /before)" = old ]
    start_node 2
    stop_node 1
    [ "$EXIT_CODE" -eq 0 ]
    start_node 1 --reserve-mib 40
    rm "$SMALL/fill"
    wait_for 10 counter_is 1 read_only 0
    kill_node 3
    wait_for 10 ringctl put /after new
    for i in $(seq 5); do [ "$(ringctl get "/full$i")" = "value $i" ]; done
}
