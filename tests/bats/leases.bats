#!/usr/bin/env bats
# Locks and those who cannot keep them: mounts that die, stop, are upgraded or are cut off.

load lib
load locks

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

@test "a killed mount's locks are free after its lease" {
    echo x >"$A/f"
    hold "$A/f"
    kill -KILL "$(mount_pid "$A")" "$(worker_pid "$A")"
    start=$SECONDS
    locks hold "$B/f" </dev/null >"$BASE/other"
    says other held
    [ $((SECONDS - start)) -lt 60 ]
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
    timeout 60 python3 -c "import fcntl; f = open('$B/f', 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); f.write(b'mine')"
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
    [ $((SECONDS - start)) -lt 20 ]
    start_node 2
    wait_for 30 flock -n "$B/f" true
}
