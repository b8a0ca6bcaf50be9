#!/usr/bin/env bats
# ringfs: the process that serves the mount is killed or replaced, at any time; programs go on.
# RINGFS_ROUNDS: how often it is killed under a load (20).

bats_require_minimum_version 1.5.0
load lib

ROUNDS=${RINGFS_ROUNDS:-20}

setup() {
    start_cluster 3
    start_mount "$BASE/mnt" -o timeo=5
}

teardown() {
    cd / || true
    [ -z "${LOAD-}" ] || kill "$LOAD" 2>/dev/null || true
    stop_cluster
}

# Kills the worker and waits for the next one.
kill_worker() {
    local old
    old=$(worker_pid)
    kill -KILL "$old"
    wait_for 15 other_worker "$old"
}
other_worker() { local now; now=$(worker_pid); [ -n "$now" ] && [ "$now" != "$1" ]; }

# PROGRAM DIR: runs it until the worker was killed $ROUNDS times.
load_with_kills() {
    python3 "$1" "$2" "$BASE/stop" >"$BASE/load.out" 2>&1 3>&- &
    LOAD=$!
    for i in $(seq "$ROUNDS"); do
        kill -0 $LOAD || break
        kill_worker
        sleep "0.$((RANDOM % 25 + 10))"
    done
    : >"$BASE/stop"
    local status=0
    wait $LOAD || status=$?
    LOAD=''
    cat "$BASE/load.out"
    [ $status -eq 0 ]
}

@test "kill -9 of the worker: paths, directories and open files go on, and nobody sees ENOTCONN" {
    mkdir -p "$MNT/a/b"
    head -c 3000000 /dev/urandom >"$BASE/big"
    cp "$BASE/big" "$MNT/a/b/big"
    cd "$MNT/a/b"
    exec 5<big
    cmp -n 1000 - "$BASE/big" < <(head -c 1000 <&5)
    kill_worker
    [ "$(pwd -P)" = "$MNT/a/b" ]
    cmp big "$BASE/big"
    cmp <(tail -c +1001 "$BASE/big") - <&5
    echo new >file
    [ "$(cat "$MNT/a/b/file")" = new ]
    [ "$(ls)" = "big
file" ]
    mv file ../moved
    kill_worker
    [ "$(cat ../moved)" = new ]
    exec 5<&-
    cd /
    stop_mount
    run ! grep -q "giving up" "$BASE/mount.log"
    [ "$(grep -c "took over" "$BASE/mount.log")" -eq 2 ]
    grep -q "ended by signal 9" "$BASE/mount.log"
}

@test "a large file read slowly comes whole although the worker is killed in the middle, five times" {
    head -c 8M /dev/urandom >"$BASE/big"
    cp "$BASE/big" "$MNT/big"
    echo 3 >/proc/sys/vm/drop_caches
    (for i in $(seq 128); do dd bs=64k count=1 status=none || exit 1; [ $((i % 8)) -ne 0 ] || sleep 0.05; done) <"$MNT/big" >"$BASE/copy" 3>&- &
    LOAD=$!
    for i in 1 2 3 4 5; do kill_worker; done
    wait "$LOAD"
    LOAD=''
    cmp "$BASE/big" "$BASE/copy"
}

@test "acknowledged writes that were not stored fail with EIO at fsync or close, once, and others do not" {
    cat >"$BASE/writer.py" <<'END'
import errno, os, signal, subprocess, sys
base, worker = sys.argv[1], int(sys.argv[2])
def code(call, *args):
    try:
        call(*args)
        return 0
    except OSError as e:
        return e.errno
lost = os.open(base + "/lost", os.O_CREAT | os.O_WRONLY)
closes = os.open(base + "/closes", os.O_CREAT | os.O_WRONLY)
stored = os.open(base + "/stored", os.O_CREAT | os.O_WRONLY)
reads = os.open(base + "/lost", os.O_RDONLY)
for fd in (lost, closes, stored):
    os.write(fd, b"first, stored before write returns\n")
os.write(stored, b"x" * 5000)
os.fsync(stored)
os.kill(worker, signal.SIGSTOP)   # no write-back may come between
os.kill(worker, signal.SIGCONT)
os.write(lost, b"buffered\n")
os.write(closes, b"buffered\n")
os.kill(worker, signal.SIGKILL)
print("fsync", code(os.fsync, lost), "again", code(os.fsync, lost), "close", code(os.close, lost))
print("close", code(os.close, closes))
print("stored", code(os.fsync, stored), code(os.write, stored, b"more"), code(os.close, stored))
print("reader", os.read(reads, 5), code(os.close, reads))
END
    # shellcheck disable=SC2034 # tries: a write-back after a second may have stored it
    for try in 1 2 3; do
        rm -f "$MNT"/*
        python3 "$BASE/writer.py" "$MNT" "$(worker_pid)" >"$BASE/out"
        cat "$BASE/out"
        ! grep -q "^fsync 5 again 0 close 0" "$BASE/out" || break
    done
    grep -qx "fsync 5 again 0 close 0" "$BASE/out"
    grep -qx "close 5" "$BASE/out"
    grep -qx "stored 0 0 0" "$BASE/out"
    grep -qx "reader b'first' 0" "$BASE/out"
    [ "$(head -c 5 "$MNT/lost")" = first ]
    [ "$(stat -c %s "$MNT/stored")" -eq 5039 ]
}

@test "a load of rename, replace, append, unlink and mkdir, the worker killed in each round: all whole and rightly named" {
    cat >"$BASE/load.py" <<'END'
import os, sys, time
base, stop = sys.argv[1], sys.argv[2]
lines = 0
n = 0
def read(path):
    with open(path, "rb") as f:
        return f.read()
os.mkdir(base + "/d")
while not os.path.exists(stop):
    n += 1
    body = (b"%d " % n) * 3000
    # Replace by rename.
    with open(base + "/new", "wb") as f:
        try:
            f.write(body)
            f.flush()
            os.fsync(f.fileno())
            whole = True
        except OSError as e:
            assert e.errno == 5, e
            whole = False
    if whole:
        os.rename(base + "/new", base + "/file")
        got = read(base + "/file")
        assert got == body, (n, len(got), len(body))
        assert not os.path.exists(base + "/new"), n
    # Append with one write.
    fd = os.open(base + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"line %d\n" % n)
    os.close(fd)
    # Names: each must succeed exactly once.
    os.mkdir(base + "/d/%d" % n)
    os.symlink("target %d" % n, base + "/d/%d/link" % n)
    fd = os.open(base + "/d/%d/excl" % n, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.close(fd)
    os.rename(base + "/d/%d/excl" % n, base + "/d/excl")
    os.unlink(base + "/d/excl")
    assert os.readlink(base + "/d/%d/link" % n) == "target %d" % n
    os.unlink(base + "/d/%d/link" % n)
    os.rmdir(base + "/d/%d" % n)
    assert os.listdir(base + "/d") == [], n
log = read(base + "/log").split()
want = [w for i in range(1, n + 1) for w in (b"line", b"%d" % i)]
assert log == want, next((i // 2 + 1, log[i:i + 4]) for i in range(len(log) + 1) if log[: i + 1] != want[: i + 1])
print("rounds of the load:", n)
END
    mkdir "$MNT/w"
    load_with_kills "$BASE/load.py" "$MNT/w"
    find "$MNT/w" | sort >"$BASE/names"
    cat "$BASE/names"
    [ "$(grep -vc '/new$' "$BASE/names")" -eq 4 ] # w, d, file, log
}

@test "tar of many small files although the worker is killed again and again" {
    mkdir "$BASE/tree"
    for i in $(seq 300); do echo "contents of $i" >"$BASE/tree/f$i"; done
    tar -C "$BASE" -cf "$BASE/tree.tar" tree
    (cd "$MNT" && for i in 1 2 3; do rm -rf tree && tar -xf "$BASE/tree.tar" || exit 1; done) >"$BASE/tar.out" 2>&1 3>&- &
    LOAD=$!
    while kill -0 $LOAD 2>/dev/null; do
        kill_worker
        sleep 0.2
    done
    status=0
    wait $LOAD || status=$?
    LOAD=''
    cat "$BASE/tar.out"
    [ $status -eq 0 ]
    diff -r "$BASE/tree" "$MNT/tree"
}

@test "times that were set before the worker was killed are stored at close, which tells nothing" {
    cat >"$BASE/times.py" <<'END'
import os, sys, time
path, marks = sys.argv[1], sys.argv[2]
fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
os.write(fd, b"contents")
os.utime(fd, (5, 7))
open(marks + "/set", "w").close()
while not os.path.exists(marks + "/killed"):
    time.sleep(0.02)
os.close(fd)
END
    python3 "$BASE/times.py" "$MNT/f" "$BASE" 3>&- &
    LOAD=$!
    wait_for 10 test -e "$BASE/set"
    kill_worker
    : >"$BASE/killed"
    wait "$LOAD"
    LOAD=''
    [ "$(stat -c '%X %Y' "$MNT/f")" = "5 7" ]
    [ "$(cat "$MNT/f")" = contents ]
}

@test "contents and mode of a new file that wait for close when the worker is killed are there at once, and stored" {
    cat >"$BASE/new.py" <<'END'
import os, sys, time
path, marks = sys.argv[1], sys.argv[2]
def until(name):
    while not os.path.exists(marks + "/" + name):
        time.sleep(0.02)
closed, idle = (os.open(path + n, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) for n in ("1", "2"))
os.write(idle, b"idle")
os.write(closed, b"con")
os.write(closed, b"tents")
os.fchmod(closed, 0o644)
open(marks + "/set", "w").close()
until("killed")
os.write(closed, b", more")
assert os.pread(closed, 100, 0) == b"contents, more", os.pread(closed, 100, 0)
os.close(closed)
open(marks + "/closed", "w").close()
until("seen")
os.close(idle)
END
    python3 "$BASE/new.py" "$MNT/f" "$BASE" 3>&- &
    LOAD=$!
    wait_for 10 test -e "$BASE/set"
    kill_worker
    : >"$BASE/killed"
    wait_for 10 test -e "$BASE/closed"
    [ "$(stat -c %a "$MNT/f1")" = 644 ]
    [ "$(cat "$MNT/f1")" = "contents, more" ]
    wait_for 10 grep -qx idle "$MNT/f2"
    : >"$BASE/seen"
    wait "$LOAD"
    LOAD=''
}

@test "files that are made and not written when the worker is killed are there, and take what is written" {
    mkdir "$MNT/d"
    cat >"$BASE/made.py" <<'END'
import os, signal, sys, time
d, marks = sys.argv[1], sys.argv[2]
def until(name):
    while not os.path.exists(marks + "/" + name):
        time.sleep(0.02)
for i in range(30):  # until the names of the directory are known
    os.close(os.open(d + "/before%d" % i, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    time.sleep(0.01)
fds = [os.open(d + "/f%d" % i, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640) for i in range(20)]
os.kill(int(sys.argv[3]), signal.SIGKILL)
for i in range(10):
    os.write(fds[i], b"contents %d" % i)
    assert os.pread(fds[i], 100, 0) == b"contents %d" % i
for fd in fds[:15]:
    os.close(fd)
open(marks + "/closed", "w").close()
until("seen")
for fd in fds[15:]:
    os.write(fd, b"late")
    os.close(fd)
END
    python3 "$BASE/made.py" "$MNT/d" "$BASE" "$(worker_pid)" 3>&- &
    LOAD=$!
    wait_for 20 test -e "$BASE/closed"
    for i in 0 1 2 3 4 5 6 7 8 9; do [ "$(cat "$MNT/d/f$i")" = "contents $i" ]; done
    ringctl get /d/f9 | cmp - "$MNT/d/f9"
    [ "$(stat -c '%a %s' "$MNT/d/f14")" = "640 0" ]
    ringctl get /d/f14 | cmp - /dev/null
    wait_for 10 ringctl get /d/f19 # nobody has done anything with it since
    : >"$BASE/seen"
    wait "$LOAD"
    LOAD=''
    [ "$(cat "$MNT/d/f19")" = late ]
    [ "$(find "$MNT/d" -type f | wc -l)" -eq 50 ]
}

@test "what a shell is about to write when the worker is killed is written, and what it leaves empty is there" {
    mkdir "$MNT/d"
    for i in $(seq 30); do : >"$MNT/d/before$i"; done # until the names of the directory are known
    local kill
    kill="kill -9 $(worker_pid)"
    bash -c "exec >$MNT/d/text; $kill; echo text"
    [ "$(cat "$MNT/d/text")" = text ]
    ringctl get /d/text | cmp - "$MNT/d/text"
    for i in $(seq 30); do : >"$MNT/d/after$i"; done
    kill="kill -9 $(worker_pid)"
    bash -c "exec >$MNT/d/empty; $kill"
    ringctl get /d/empty | cmp - /dev/null
    [ "$(find "$MNT/d" -type f | wc -l)" -eq 62 ]
}

@test "files made, written and closed while the worker is killed again and again hold what was acknowledged" {
    cat >"$BASE/many.py" <<'END'
import os, sys
d, stop = sys.argv[1], sys.argv[2]
n, failed = 0, set()
while not os.path.exists(stop):
    n += 1
    fd = os.open(d + "/f%d" % n, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(fd, b"%d " % n * (n * 37 % 3000))
    except OSError as e:
        assert e.errno == 5, e
        failed.add(n)
    try:
        os.close(fd)
    except OSError as e:
        assert e.errno == 5, e
        failed.add(n)
for i in range(1, n + 1):
    with open(d + "/f%d" % i, "rb") as f:
        assert i in failed or f.read() == b"%d " % i * (i * 37 % 3000), i
assert len(os.listdir(d)) == n
print("files:", n, "failed:", len(failed))
END
    mkdir "$MNT/d"
    load_with_kills "$BASE/many.py" "$MNT/d"
}

@test "SIGUSR2 replaces the program by the one installed, and buffered writes are kept" {
    cp "$BUILD/fs/ringfs" "$BASE/ringfs"
    mkdir "$BASE/second"
    "$BASE/ringfs" "$(node_address 1)" "$BASE/second" -o "log_file=$BASE/second.log" 3>&-
    MOUNTS+=("$BASE/second")
    exec 6>"$BASE/second/f"
    echo first >&6
    echo buffered >&6
    supervisor=$(mount_pid "$BASE/second")
    old=$(worker_pid "$BASE/second")
    rm "$BASE/ringfs" # as a package does it
    cp "$BUILD/fs/ringfs" "$BASE/ringfs"
    kill -USR2 "$supervisor"
    wait_for 10 grep -q "took over" "$BASE/second.log"
    [ "$(mount_pid "$BASE/second")" = "$supervisor" ]
    [ "$(worker_pid "$BASE/second")" != "$old" ]
    [ "$(readlink "/proc/$supervisor/exe")" = "$BASE/ringfs" ]
    echo after >&6
    exec 6>&-
    [ "$(cat "$BASE/second/f")" = "first
buffered
after" ]
    rm "$BASE/ringfs" # now there is nothing to become
    kill -USR2 "$supervisor"
    wait_for 10 grep -q "cannot start" "$BASE/second.log"
    [ "$(wc -l <"$BASE/second/f")" -eq 3 ]
    stop_mount "$BASE/second"
}

@test "SIGTERM drains and unmounts after a take-over too, and a killed supervisor takes its mount along" {
    kill_worker
    exec 6>"$MNT/f"
    echo first >&6
    echo buffered >&6
    pid=$(mount_pid)
    kill -TERM "$pid"
    wait_for 10 process_ended "$pid"
    exec 6>&- || true
    run ! grep -qF " $MNT " /proc/mounts
    start_mount "$BASE/mnt" -o timeo=5
    [ "$(cat "$MNT/f")" = "first
buffered" ]
    worker=$(worker_pid)
    kill -KILL "$(mount_pid)"
    wait_for 10 process_ended "$worker"
    run ! grep -qF " $MNT " /proc/mounts
}

@test "a worker killed while the nodes do not answer is replaced, and all goes on when they do" {
    echo hello >"$MNT/f"
    for i in 1 2 3; do kill -STOP "$(node_pid $i)"; done
    kill_worker
    for i in 1 2 3; do kill -CONT "$(node_pid $i)"; done
    wait_for 15 cat "$MNT/f"
    [ "$(cat "$MNT/f")" = hello ]
}

@test "files that were unlinked while open go on, before and after a take-over" {
    head -c 300000 /dev/urandom >"$BASE/large"
    cp "$BASE/large" "$MNT/large"
    cp "$BASE/large" "$MNT/later"
    echo small >"$MNT/small"
    exec 5<"$MNT/large" 6<>"$MNT/small" 7<"$MNT/later"
    rm "$MNT/large" "$MNT/small"
    echo more >&6
    kill_worker
    rm "$MNT/later" # opened by a worker that is gone
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$BASE/large" - <&5
    cmp "$BASE/large" - <&7
    [ "$(stat -Lc '%s %h' /dev/fd/5)" = "300000 0" ]
    echo again >&6
    [ "$(stat -Lc %s /dev/fd/6)" -eq 11 ]
    exec 5<&- 6>&- 7<&-
    [ -z "$(ls "$MNT")" ]
}
