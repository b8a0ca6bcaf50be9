#!/usr/bin/env bats
# Contents of files through real mounts: appends, sparse files, databases.

load lib

setup() {
    start_cluster 3
    start_mount
    cd "$MNT" || return 1
}

teardown() {
    cd / || true
    stop_cluster
}

# ---- two mounts ----

append_lines() { # FILE WORD N
    for i in $(seq "$3"); do echo "$2 $i of some length, so that records fill up" >>"$1"; done
}

@test "a thousand lines appended by each of two mounts to a large file all arrive whole" {
    start_mount "$BASE/second"
    head -c 100000 /dev/zero | tr '\0' x >log
    echo >>log
    append_lines log first 1000 &
    append_lines "$BASE/second/log" second 1000
    wait $!
    tail -n +2 log >"$BASE/seen"
    [ "$(wc -l <"$BASE/seen")" -eq 2000 ]
    (append_lines "$BASE/expected" first 1000; append_lines "$BASE/expected" second 1000)
    cmp <(sort "$BASE/expected") <(sort "$BASE/seen")
    cmp log "$BASE/second/log"
    stop_mount "$BASE/second"
}

@test "long runs of appended bytes by two mounts stay whole" {
    start_mount "$BASE/second"
    head -c 70000 /dev/zero >big
    for i in 1 2 3 4 5; do
        (head -c 3000000 /dev/zero | tr '\0' a >>big) &
        (head -c 3000000 /dev/zero | tr '\0' b >>"$BASE/second/big")
        wait $!
    done
    [ "$(wc -c <"$BASE/second/big")" -eq 30070000 ]
    [ "$(tr -d -c a <big | wc -c)" -eq 15000000 ]
    [ "$(tr -d -c b <"$BASE/second/big" | wc -c)" -eq 15000000 ]
    stop_mount "$BASE/second"
}

@test "two mounts that change different bytes of one block both succeed" {
    start_mount "$BASE/second"
    head -c 65536 /dev/zero | tr '\0' x >f
    patch() { # FILE FIRST WORD
        for i in $(seq "$2" 2 199); do
            printf %s "$3" | dd of="$1" bs=1 seek=$((i * 300)) conv=notrunc status=none
        done
    }
    patch f 0 even &
    patch "$BASE/second/f" 1 odd
    wait $!
    [ "$(grep -o even f | wc -l)" -eq 100 ]
    [ "$(grep -o odd "$BASE/second/f" | wc -l)" -eq 100 ]
    stop_mount "$BASE/second"
}

# ---- sparse files ----

stored() { stat -c '%b * %B' "$1" | sed 's/ //g' | { IFS='*' read -r n size; echo $((n * size)); }; }

@test "du tells what is stored, and holes are copied as holes" {
    truncate -s 2T sparse
    [ "$(stored sparse)" -eq 0 ]
    printf data | dd of=sparse bs=1 seek=$((2 ** 40)) conv=notrunc status=none
    [ "$(stored sparse)" -le 131072 ]
    [ "$(du -k sparse | cut -f1)" -le 128 ]
    [ "$(dd if=sparse bs=1 skip=$((2 ** 40)) count=4 status=none)" = data ]
    cp --sparse=always sparse copy
    [ "$(stat -c %s copy)" -eq $((2 ** 41)) ]
    [ "$(stored copy)" -le 131072 ]
    [ "$(dd if=copy bs=1 skip=$((2 ** 40)) count=4 status=none)" = data ]
    truncate -s 100 sparse
    truncate -s 1M sparse
    [ "$(tr -d '\0' <sparse | wc -c)" -eq 0 ]
    rm sparse copy
}

@test "fallocate allocates, punches and zeroes" {
    head -c 1000000 /dev/urandom >f
    cp f "$BASE/f"
    for where in f "$BASE/f"; do
        fallocate -p -o 70000 -l 400000 "$where"
        fallocate -z -o 600001 -l 77777 "$where"
        fallocate -l 1100000 "$where"
        fallocate -z -n -o 1050000 -l 500000 "$where"
    done
    cmp f "$BASE/f"
    [ "$(stat -c %s f)" -eq 1100000 ]
    [ "$(stored f)" -le 800000 ]
    run fallocate -c -o 0 -l 65536 f
    [ "$status" -ne 0 ]
    [[ $output == *"not supported"* ]]
    fallocate -n -l 10000000 f
    [ "$(stat -c %s f)" -eq 1100000 ]
}

@test "lseek finds data and holes; copy_file_range copies" {
    python3 - <<'PY'
import errno, os
f = os.open("f", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"x" * 65536, 1 << 20)
os.ftruncate(f, 3 << 20)
assert os.lseek(f, 0, os.SEEK_HOLE) == 0
assert os.lseek(f, 0, os.SEEK_DATA) == 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 65536
for whence, at in (os.SEEK_DATA, 2 << 20), (os.SEEK_HOLE, 3 << 20):
    try:
        os.lseek(f, at, whence)
        assert False
    except OSError as e:
        assert e.errno == errno.ENXIO
g = os.open("g", os.O_RDWR | os.O_CREAT)
n = os.copy_file_range(f, g, 4 << 20, 0, 0)
assert n == 3 << 20, n
assert os.fstat(g).st_size == 3 << 20 and os.fstat(g).st_blocks == 128
assert os.copy_file_range(g, g, 1000, (1 << 20) + 64000, 100) == 1000
assert os.pread(g, 1000, 100) == b"x" * 1000
PY
}

# ---- programs ----

@test "mmap shared and private; msync is seen by another mount's opening" {
    start_mount "$BASE/second"
    head -c 300000 /dev/zero >f
    python3 - f "$BASE/second/f" <<'PY'
import mmap, os, sys
with open(sys.argv[1], "r+b") as f:
    with mmap.mmap(f.fileno(), 0) as m:
        m[1000:1005] = b"hello"
        m[200000:200005] = b"world"
        m.flush()
        with open(sys.argv[2], "rb") as other:
            seen = other.read()
        assert seen[1000:1005] == b"hello" and seen[200000:200005] == b"world"
        with open(sys.argv[1], "r+b") as again:
            again.seek(5000)
            again.write(b"by write")
            again.flush()
            assert m[5000:5008] == b"by write"
    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) as m:
        m[0:3] = b"abc"
        assert os.pread(f.fileno(), 3, 0) == b"\0\0\0"
PY
    stop_mount "$BASE/second"
}

@test "sqlite with a rollback journal and with a write-ahead log" {
    command -v sqlite3 >/dev/null || skip "no sqlite3"
    for mode in delete wal; do
        sqlite3 db.$mode "PRAGMA journal_mode=$mode; CREATE TABLE t(i INTEGER PRIMARY KEY, x);" >/dev/null
        for i in 1 2 3; do
            sqlite3 db.$mode "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)
                INSERT INTO t(x) SELECT hex(randomblob(50)) FROM n; DELETE FROM t WHERE i % 3 = $((i - 1));"
        done
        [ "$(sqlite3 db.$mode 'PRAGMA integrity_check')" = ok ]
        [ "$(sqlite3 db.$mode 'SELECT count(*) > 1000 FROM t')" -eq 1 ]
    done
}

@test "fio verifies random writes, buffered and past the pages" {
    command -v fio >/dev/null || skip "no fio"
    for direct in 0 1; do
        fio --name=v$direct --directory="$MNT" --rw=randwrite --bs=4k-70k --size=8m --direct=$direct \
            --verify=crc32c --do_verify=1 --end_fsync=1 --ioengine=psync --output="$BASE/fio.out"
    done
}

@test "O_TMPFILE is refused cleanly" {
    python3 - <<'PY'
import errno, os
try:
    os.open(".", os.O_TMPFILE | os.O_RDWR)
except OSError as e:
    assert e.errno in (errno.EOPNOTSUPP, errno.EISDIR), e
PY
}

# ---- errors ----

@test "without a majority writes fail where a program looks, and do not happen twice" {
    cd /
    stop_mount
    start_mount "$MNT" -o timeo=2
    cd "$MNT"
    head -c 200000 /dev/zero | tr '\0' x >big
    cp big first
    cp big buffered
    python3 - "$(node_pid 2)" "$(node_pid 3)" <<'PY'
import errno, os, signal, sys, time
nodes = [int(pid) for pid in sys.argv[1:]]
def fails(what, *args):
    try:
        what(*args)
    except OSError as e:
        assert e.errno in (errno.EIO, errno.EAGAIN), e
        return True
    return False
big = os.open("big", os.O_WRONLY | os.O_APPEND)
first = os.open("first", os.O_RDWR)
buffered = os.open("buffered", os.O_RDWR)
os.pwrite(buffered, b"z", 0)
for node in nodes:
    os.kill(node, signal.SIGSTOP)
try:
    assert fails(os.write, big, b"line\n")         # the first write of an opening
    assert fails(os.pwrite, first, b"y" * 5000, 0)
    wrote = fails(os.pwrite, buffered, b"y" * 70000, 10)
    assert fails(os.fsync, buffered) or wrote      # what was buffered
    assert fails(os.close, os.dup(buffered)) or wrote
finally:
    for node in nodes:
        os.kill(node, signal.SIGCONT)
end = time.monotonic() + 20
while fails(os.write, big, b"again\n"): # until the nodes have found each other again
    assert time.monotonic() < end
for f in big, first, buffered:
    while fails(os.fsync, f): # what failed in the background meanwhile is told once
        assert time.monotonic() < end
    os.close(f)
PY
    [ "$(grep -c again big)" -ge 1 ]
    [ "$(grep -c line big)" -le 1 ]
    [ "$(tr -d x <buffered | tr -d y)" = z ]
    [ "$(head -c 200000 big | tr -d x | wc -c)" -eq 0 ]
}
