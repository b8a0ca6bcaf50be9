#!/usr/bin/env bats
# Two mounts: what one changes shows on the other at once, although it is cached there for long.

load lib

setup() {
    start_cluster 3
    start_mount "$BASE/a"
    start_mount "$BASE/b"
    A=$BASE/a B=$BASE/b
    mkdir "$A/d"
    echo one >"$A/d/f"
    stat "$A/d/none" 2>/dev/null || true
    stat "$B/d/f" "$B/d/none" 2>/dev/null || true
    wait_for 10 watches "$A" 17 # the root's parts and d
    wait_for 10 watches "$B" 17
}

teardown() { stop_cluster; }

# A number that the mount at DIR counts.
counted() { # DIR NAME
    local before
    before=$(grep -c answered= "$BASE/mount.log") || true
    kill -USR1 "$(mount_pid "$1")"
    wait_for 5 line_after "$before" || return 1
    grep answered= "$BASE/mount.log" | tail -n 1 | grep -o " $2=[0-9]*" | cut -d= -f2
}
line_after() { [ "$(grep -c answered= "$BASE/mount.log")" -gt "$1" ]; }
watches() { [ "$(counted "$1" watched)" -ge "$2" ]; }
# Whether three seconds of looks cost nothing but what is asked every 10 s: how full the nodes are.
is_cached() {
    local before
    before=$(counted "$B" asked)
    for _ in $(seq 15); do shows_mode 644 && hides none && sleep 0.2; done
    [ "$(counted "$B" asked)" -le $((before + 6)) ]
}
shows_mode() { [ "$(stat -c %a "$B/d/f")" = "$1" ]; }
shows_size() { [ "$(stat -c %s "$B/d/f")" = "$1" ]; }
shows() { [ -e "$B/d/$1" ]; }
hides() { [ ! -e "$B/d/$1" ]; }

@test "attributes, names made, renamed and removed elsewhere show at once" {
    wait_for 20 is_cached # for longer than the second that nobody is told of
    chmod 600 "$A/d/f"
    wait_for 5 shows_mode 600
    echo more >>"$A/d/f"
    wait_for 5 shows_size 9
    hides new && hides new && hides new2
    echo x >"$A/d/new"
    wait_for 5 shows new
    mv "$A/d/new" "$A/d/new2"
    wait_for 5 hides new
    shows new2
    rm "$A/d/new2"
    wait_for 5 hides new2
    mkdir "$A/d/sub"
    wait_for 5 shows sub
    chmod 711 "$A/d"
    mode() { [ "$(stat -c %a "$B/d")" = 711 ]; }
    wait_for 5 mode
}

@test "every one of many changes shows at the other's next look" {
    for i in $(seq 100); do
        echo "$i" >"$A/d/f"
        [ "$(cat "$B/d/f")" = "$i" ]
        : >"$B/d/n$i"
        exists() { [ -e "$A/d/n$i" ]; }
        wait_for 5 exists
    done
}

@test "with one node killed changes still show, and with it back nothing is missed" {
    kill_node 2
    for i in $(seq 20); do
        chmod "6$((i % 8))0" "$A/d/f"
        wait_for 5 shows_mode "6$((i % 8))0"
        wait_for 5 hides "k$i"
        : >"$A/d/k$i"
        wait_for 5 shows "k$i"
    done
    start_node 2
    for i in $(seq 20); do
        rm "$A/d/k$i"
        wait_for 5 hides "k$i"
    done
}

new_names_cost_two() { # tried again: on a busy machine requests are late, and asked again
    local before
    round=$((round + 1))
    before=$(counted "$A" asked)
    for i in $(seq 20); do echo "$i" >"$A/own/f$round.$i"; done
    for i in $(seq 20); do [ ! -e "$A/own/g$round.$i" ]; done
    [ $(($(counted "$A" asked) - before)) -le 48 ]
}

@test "a new file costs two requests, a missing name none" {
    local round=0
    mkdir "$A/own"
    for i in 1 2 3 4 5 6; do [ ! -e "$A/own/miss$i" ] && sleep 0.1; done
    wait_for 20 new_names_cost_two
}

@test "two mounts change the same names, each node is killed once: in the end both show what is there" {
    local load node
    start_mount "$BASE/c" -o attr_timeout=0
    mkdir "$A/d1" "$A/d2"
    for node in 1 2 3; do
        python3 "$BATS_TEST_DIRNAME/watch_load.py" "$A,$B,$BASE/c" 3 "$node" &
        load=$!
        hides "never-$node" # the load has begun
        kill_node "$node"
        start_node "$node"
        wait "$load"
    done
}
