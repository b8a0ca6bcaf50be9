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

# Makes a file as compilers and editors do, in one process.
make_file() { # FILE [SIZE]
    python3 -c 'import sys; f = open(sys.argv[1], "wb", 0); f.write(b"x" * int(sys.argv[2])); f.close()' "$1" "${2-10}"
}

@test "a file that is made, written and closed costs one request, and two with 5000 bytes" {
    mkdir "$A/d"
    n=0
    make_another() { n=$((n + 1)); make_file "$A/d/f$n" "$1"; }
    wait_for 20 costs_at_most "$A" 1 make_another 10
    wait_for 20 costs_at_most "$A" 2 make_another 5000
    start_mount "$B"
    for i in $(seq "$n"); do cmp "$A/d/f$i" "$B/d/f$i"; done
    [ "$(stat -c %s "$B/d/f$n")" -eq 5000 ]
    [ "$(find "$A/d" -type f | wc -l)" -eq "$n" ]
}

@test "a file that is made and not written yet is whole here, and elsewhere after a second at the latest" {
    start_mount "$B"
    mkdir "$A/d"
    for i in $(seq 30); do make_file "$A/d/before$i"; done # until the names of the directory are known
    python3 - "$A/d" "$B/d" <<'END'
import os, sys, time
here, there = sys.argv[1] + "/f", sys.argv[2] + "/f"
fd = os.open(here, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
assert os.stat(here).st_size == 0 and os.stat(here).st_ino == os.fstat(fd).st_ino
end = time.monotonic() + 20
while not os.path.exists(there):
    assert time.monotonic() < end
    time.sleep(0.02)
os.write(fd, b"text")
assert open(there).read() == "text"
os.close(fd)
fd = os.open(here + "2", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
assert "f2" in os.listdir(sys.argv[1])
os.rename(here + "2", here)
os.write(fd, b"renamed")
os.close(fd)
assert open(there).read() == "renamed"
END
}

append_to() { # FILE SIZE
    python3 -c 'import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND); os.write(fd, b"x" * int(sys.argv[2]))' "$1" "$2"
}

append_ten_times() { # as cheaply as it should be
    for _ in $(seq 10); do
        costs_at_most "$A" 1 append_to "$A/d/small" 10 || return 1
        costs_at_most "$A" 2 append_to "$A/d/large" 4096 || return 1
    done
}

@test "an append costs one request, of 4096 bytes two, and truncating by name one" {
    mkdir "$A/d"
    : >"$A/d/small"
    : >"$A/d/large"
    wait_for 20 append_ten_times
    costs_at_most "$A" 1 truncate -s 50 "$A/d/small"
    start_mount "$B"
    cmp "$A/d/large" "$B/d/large"
    [ "$(stat -c %s "$B/d/small")" -eq 50 ]
}

# Makes the directory, and files in it until A knows which names are missing there: what is made from then on is stored
# with its contents.
make_known() { # DIR
    mkdir "$1"
    local n=0
    make_one() { n=$((n + 1)); make_file "$1/known$n"; }
    wait_for 20 costs_at_most "$A" 1 make_one "$1"
}

@test "what a shell makes with > costs one request, written or not, by a command of its own or by another" {
    make_known "$A/d"
    for shell in bash dash; do
        for command in 'echo x >' '/bin/echo x >' '{ echo a; :; } >' 'sh -c "echo x >&2" 2>' 'exec >' ': >' '>'; do
            for _ in 1 2 3; do # what the mount asks by itself meanwhile counts, too
                costs "$A" $shell -c "$command $A/d/f || :" 2>/dev/null
                echo "$shell, $command: $COST"
                rm "$A/d/f"
                [ "$COST" -ne 1 ] || break
            done
            [ "$COST" -eq 1 ]
        done
    done
}

@test "a close is not the last where the process may write the file as its descriptor 0, 1 or 2, and only there" {
    make_known "$A/d"
    start_mount "$B"
    cd "$A/d"
    bash -c 'exec 5>five; exec 6>&5; exec 5>&-; test -e "$1/five" && echo text >&6' - "$B/d"
    [ "$(cat "$B/d/five")" = text ]
    python3 - "$B/d" "$BASE" <<'END'
import os, sys
there, elsewhere = sys.argv[1:]
flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
fd = os.open("read", flags)
os.dup2(os.open("read", os.O_RDONLY), 0)
os.close(fd)
assert os.path.exists(there + "/read")
fd = os.open("other", flags)
os.dup2(os.open(elsewhere + "/other", flags), 0)
os.close(fd)
assert os.path.exists(there + "/other")
END
    cd /
}

@test "what a shell has made is on another mount when its command has ended, or was killed" {
    make_known "$A/d"
    start_mount "$B"
    for i in $(seq 50); do
        bash -c "echo $i >$A/d/b$i"
        [ "$(cat "$B/d/b$i")" = "$i" ]
        dash -c ": >$A/d/d$i"
        [ -e "$B/d/d$i" ] && [ ! -s "$B/d/d$i" ]
        bash -c "exec >$A/d/e$i; kill -9 \$\$" || true
        [ -e "$B/d/e$i" ] && [ ! -s "$B/d/e$i" ]
    done
}

@test "what a shell cannot store its command is told, and there is no such file later" {
    make_known "$A/d"
    for i in 1 2 3; do kill_node $i; done
    run bash -c "echo x >$A/d/now"
    [ "$status" -eq 1 ]
    let_leases_end
    run bash -c ": >$A/d/empty"
    [ "$status" -eq 1 ]
    for i in 1 2 3; do launch_node $i; done
    wait_for 30 bash -c "echo x >$A/d/later"
    [ ! -e "$A/d/now" ] && [ ! -e "$A/d/empty" ] && [ -s "$A/d/later" ]
}
