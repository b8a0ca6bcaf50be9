#!/usr/bin/env bats
# Locks over two mounts of one cluster: flock, fcntl, what relies on them, and mounts that die with them.

load lib

setup() {
    start_cluster 3
    start_mount "$BASE/mnt" -o lease=2
    start_mount "$BASE/second" -o lease=2
    A=$BASE/mnt B=$BASE/second
}

teardown() {
    [ -z "${HOLDER-}" ] || kill -KILL "$HOLDER" 2>/dev/null || true
    stop_cluster
}

locks() { timeout 60 python3 "$BATS_TEST_DIRNAME/locks.py" "$@"; }
says() { grep -qx "$2" "$BASE/$1"; }

# Holds a lock on a file until a line is written to descriptor 8: then it writes and syncs. HOLDER, $BASE/holder.
hold() { # FILE
    mkfifo "$BASE/go"
    python3 "$BATS_TEST_DIRNAME/locks.py" hold "$1" <"$BASE/go" >"$BASE/holder" 2>&1 3>&- &
    HOLDER=$!
    exec 8>"$BASE/go"
    wait_for 20 says holder held
}

@test "flock holds on both mounts" {
    echo old >"$A/f"
    mkfifo "$BASE/go"
    flock "$A/f" sh -c "echo held; read -r _ <'$BASE/go'; sleep 0.2; echo new >'$A/f'" >"$BASE/holder" 3>&- &
    wait_for 20 says holder held
    run flock -n "$B/f" true
    [ "$status" -eq 1 ]
    flock -n -s "$B/g" true # another file
    echo >"$BASE/go"
    [ "$(flock -w 30 "$B/f" cat "$B/f")" = new ]
}

@test "fcntl locks have ranges and owners on both mounts" {
    echo x >"$A/f"
    [ "$(locks ranges "$A/f" "$B/f")" = right ]
    [ "$(locks descriptions "$A/f" "$B/f")" = right ]
}

@test "sqlite writers on two mounts lose nothing" {
    sqlite3 "$A/db" 'create table t(who, i)'
    locks insert "$A/db" a 3>&- &
    other=$!
    locks insert "$B/db" b
    wait $other
    for dir in "$A" "$B"; do
        [ "$(sqlite3 "$dir/db" 'select count(*) from t')" -eq 200 ]
        [ "$(sqlite3 "$dir/db" 'pragma integrity_check')" = ok ]
    done
}

@test "git commits from two mounts into one repository all arrive" {
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    git init -q "$A/r"
    git -C "$A/r" commit -q --allow-empty -m first
    commit() { # DIR NAME
        for i in $(seq 8); do
            wait_for 30 git -C "$1" commit -q --allow-empty -m "$2 $i" || return 1
        done
    }
    commit "$A/r" a 3>&- &
    other=$!
    commit "$B/r" b
    wait $other
    git -C "$B/r" fsck
    git -C "$A/r" log --format=%s >"$BASE/log"
    cat "$BASE/log"
    [ "$(sort -u "$BASE/log" | wc -l)" -eq 17 ]
}

@test "of two mounts that make the same name one wins, each time" {
    for how in mkdir symlink create; do
        locks race "$how" "$A" 500 >"$BASE/a" 3>&- &
        other=$!
        locks race "$how" "$B" 500 >"$BASE/b"
        wait $other
        [ "$(sort -n "$BASE/a" "$BASE/b")" = "$(seq 0 499)" ]
    done
}

@test "a signal ends the waiting at once, and on this mount nobody else is held up" {
    echo x >"$A/f"
    hold "$A/f"
    for dir in "$A" "$B"; do
        after=$(locks interrupted "$dir/f")
        echo "after $after ms"
        [ "$after" -lt 400 ]
    done
    echo >&8
    wait "$HOLDER"
    says holder 'write done'
    says holder 'fsync done'
}

@test "a killed mount's locks are free after its lease" {
    echo x >"$A/f"
    hold "$A/f"
    kill -KILL "$(mount_pid "$A")" "$(worker_pid "$A")"
    start=$SECONDS
    locks hold "$B/f" </dev/null >"$BASE/other"
    says other held
    [ $((SECONDS - start)) -lt 20 ]
}

is_locked() { [ "$(locks attempt "$1")" = locked ]; }
is_free() { [ "$(locks attempt "$1")" = free ]; }

flocked() { ! flock -n "$1" true; }
kill_worker() { kill -KILL "$(worker_pid "$A")"; }
upgrade() { kill -USR2 "$(mount_pid "$A")"; }

# Whoever waits and whoever holds must not notice that another worker serves them.
over_to_another_worker() { # COMMAND...: ends the one of $A
    echo x >"$A/f"
    hold "$A/f"
    flock "$B/g" sh -c "while [ ! -e '$BASE/free' ]; do sleep 0.1; done" 3>&- &
    wait_for 20 flocked "$A/g"
    flock -w 60 "$A/g" echo got >"$BASE/got" 3>&- &
    waiter=$!
    worker=$(worker_pid "$A")
    "$@"
    wait_for 20 process_ended "$worker"
    is_locked "$B/f"
    is_locked "$A/f"
    sleep 3 # longer than the lease
    is_locked "$B/f"
    touch "$BASE/free"
    wait "$waiter"
    says got got
    echo >&8
    wait "$HOLDER"
    says holder 'write done'
    says holder 'fsync done'
    wait_for 20 is_free "$B/f"
}

@test "locks and who waits for them survive the death of the worker" {
    over_to_another_worker kill_worker
}

@test "locks and who waits for them survive an upgrade" {
    over_to_another_worker upgrade
}

@test "a stopped mount loses its locks, and who held them cannot write any more" {
    echo x >"$A/f"
    hold "$A/f"
    pid=$(worker_pid "$A")
    kill -STOP "$pid"
    timeout 20 python3 -c "import fcntl; f = open('$B/f', 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); f.write(b'mine')"
    kill -CONT "$pid"
    echo >&8
    wait "$HOLDER"
    says holder 'write EIO'
    says holder 'fsync EIO'
    says holder 'truncate EIO'
    [ "$(cat "$A/f")" = mine ]
    echo again >"$A/f"
    [ "$(cat "$B/f")" = again ]
}

@test "without enough nodes locking fails by the deadline, and works again with them" {
    stop_mount "$B"
    start_mount "$B" -o timeo=1
    echo x >"$A/f"
    kill_node 2
    kill_node 3
    start=$SECONDS
    run timeout 30 flock "$B/f" true
    [ "$status" -ne 0 ] && [ "$status" -ne 124 ]
    [ $((SECONDS - start)) -lt 10 ]
    start_node 2
    wait_for 30 flock -n "$B/f" true
}

@test "with locks=local a mount keeps its locks to itself" {
    stop_mount "$B"
    start_mount "$B" -o locks=local
    echo x >"$A/f"
    hold "$B/f"
    run flock -n "$B/f" true
    python3 -c "import fcntl; fcntl.lockf(open('$A/f', 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    run python3 -c "import fcntl; fcntl.lockf(open('$B/f', 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    [ "$status" -ne 0 ]
    echo >&8
    wait "$HOLDER"
}
