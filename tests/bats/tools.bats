#!/usr/bin/env bats
# ringfs: what people run on a filesystem, on a mount: version control, compilers, databases, editors, archivers, and the
# programs that others test filesystems with.

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

# N files of a few hundred bytes in N/50 directories.
make_files() { # DIR N
    mkdir -p "$1"
    for d in $(seq $(($2 / 50))); do
        mkdir "$1/d$d"
        for f in $(seq 50); do echo "int f_${d}_$f(int x) { return x * $d + $f; } /* $(printf '%0200d' "$f") */" >"$1/d$d/f$f.c"; done
    done
}

@test "git clones a repository of 2,000 files, and fsck finds it whole" {
    make_files "$BASE/repo" 2000
    git -C "$BASE/repo" init -q .
    git -C "$BASE/repo" add -A
    git -C "$BASE/repo" -c user.name=a -c user.email=a@b commit -qm first
    git clone -q "file://$BASE/repo" clone
    git -C clone fsck --strict
    [ -z "$(git -C clone status --porcelain)" ]
    [ "$(git -C clone ls-files | wc -l)" = 2000 ]
    diff -r --exclude=.git "$BASE/repo" clone
}

@test "make -j4 builds a C project, and has nothing to do the second time" {
    mkdir project
    for i in $(seq 40); do echo "int f$i(int x) { return x + $i; }" >"project/f$i.c"; done
    { for i in $(seq 40); do echo "int f$i(int);"; done; echo "int main(void) { return f1(1) - 2; }"; } >project/main.c
    # shellcheck disable=SC2016 # make's own variables
    printf 'OBJECTS = main.o %s\nproject: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\n' "$(seq -f 'f%g.o' -s ' ' 40)" >project/Makefile
    make -s -C project -j4
    project/project
    make -C project -q
    touch project/f7.c
    run make -C project -q
    [ "$status" -eq 1 ]
    make -s -C project -j4
    make -C project -q
}

@test "sqlite in rollback and in WAL mode keeps its integrity" {
    for mode in delete wal; do
        sqlite3 "$mode.db" "PRAGMA journal_mode=$mode; CREATE TABLE t (i INTEGER PRIMARY KEY, x TEXT);" >/dev/null
        for i in $(seq 20); do
            sqlite3 "$mode.db" "BEGIN; INSERT INTO t (x) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50)
                SELECT hex(randomblob(100)) FROM c; COMMIT; DELETE FROM t WHERE i % 50 = $i;"
        done
        [ "$(sqlite3 "$mode.db" 'PRAGMA integrity_check')" = ok ]
        [ "$(sqlite3 "$mode.db" 'SELECT count(*) > 300 FROM t')" = 1 ]
    done
}

@test "rsync -aHAX --delete transfers nothing the second time" {
    make_files "$BASE/tree" 200
    ln "$BASE/tree/d1/f1.c" "$BASE/tree/d2/linked.c"
    ln -s d1/f1.c "$BASE/tree/symlink"
    setfattr -n user.note -v kept "$BASE/tree/d1/f2.c"
    setfacl -m u:1000:r "$BASE/tree/d1/f3.c"
    chmod 4711 "$BASE/tree/d1/f4.c"
    rsync -aHAX --delete "$BASE/tree/" copy/
    : >copy/extra
    run rsync -aHAX --delete --itemize-changes "$BASE/tree/" copy/
    [ "$status" -eq 0 ]
    [ "$output" = "*deleting   extra" ] || [ "$(echo "$output" | grep -cv '^\.d..t\|deleting')" = 0 ]
    [ -z "$(rsync -aHAX --delete --itemize-changes "$BASE/tree/" copy/)" ]
    [ copy/d1/f1.c -ef copy/d2/linked.c ]
    getfattr --only-values -n user.note copy/d1/f2.c | grep -qx kept
    getfacl -cpn copy/d1/f3.c | grep -qx user:1000:r--
}

@test "tar brings hard links, extended attributes and holes there and back" {
    mkdir "$BASE/tree"
    echo x >"$BASE/tree/one"
    ln "$BASE/tree/one" "$BASE/tree/two"
    setfattr -n user.note -v kept "$BASE/tree/one"
    truncate -s 8M "$BASE/tree/sparse"
    echo data | dd of="$BASE/tree/sparse" bs=1 seek=5000000 conv=notrunc status=none
    tar -C "$BASE" --xattrs --sparse -cf "$BASE/a.tar" tree
    tar --xattrs -xf "$BASE/a.tar"
    [ tree/one -ef tree/two ]
    getfattr --only-values -n user.note tree/two | grep -qx kept
    cmp "$BASE/tree/sparse" tree/sparse
    [ "$(du -k tree/sparse | cut -f1)" -lt 1024 ]
    tar --xattrs --sparse -cf "$BASE/b.tar" tree
    tar -C "$BASE" --xattrs -df "$BASE/b.tar"
    [ "$(stat -c %s "$BASE/b.tar")" -lt 1048576 ]
}

@test "vim saves a file in place and by renaming, and keeps its mode" {
    for how in yes no; do
        echo first >text
        chmod 640 text
        vim.tiny -e -s -u NONE -c "set writebackup backupcopy=$how" -c 's/first/second/' -c wq text
        [ "$(cat text)" = second ]
        [ "$(stat -c %a text)" = 640 ]
        [ "$(ls -A)" = text ]
    done
}

@test "two shells talk through a fifo" {
    mkfifo pipe
    (for i in $(seq 1000); do echo "line $i"; done >pipe) &
    [ "$(wc -l <pipe)" = 1000 ]
    wait $!
}

@test "fio finds every block as it wrote it" {
    fio --name=v --directory="$MNT" --size=8m --rw=randwrite --bs=4k --ioengine=sync --verify=crc32c --verify_fatal=1 \
        --do_verify=1 --end_fsync=1 --minimal >"$BASE/fio.out"
    fio --name=m --directory="$MNT" --size=4m --rw=randrw --bssplit=512/50:20k/50 --ioengine=psync --verify=md5 \
        --verify_fatal=1 --numjobs=2 --minimal >"$BASE/fio.out"
}

@test "dbench with 8 clients" {
    timeout 100 dbench -t 3 -D "$MNT" 8 >"$BASE/dbench.out" || { cat "$BASE/dbench.out"; false; }
    grep -q '^Throughput' "$BASE/dbench.out"
}

@test "fs_mark and bonnie++" {
    mkdir marks
    fs_mark -d "$MNT/marks" -n 200 -s 4096 -t 2 -S 1 -l "$BASE/fs_mark.log" >"$BASE/fs_mark.out"
    mkdir bonnie
    bonnie++ -q -f -d "$MNT/bonnie" -s 16m -r 8 -n 1 -u root >"$BASE/bonnie.out" 2>"$BASE/bonnie.err" || { cat "$BASE/bonnie.err"; false; }
    [ -s "$BASE/bonnie.out" ]
}

@test "each of 1,000 updates that take turns is seen by the other mount's next open" {
    start_mount "$BASE/other"
    python3 - "$BASE/mnt" "$BASE/other" <<'P'
import os, sys
mounts = sys.argv[1:]
for i in range(1000):
    writer, reader = mounts[i % 2], mounts[(i + 1) % 2]
    size = [5, 100, 5000, 70000][i % 4] if i % 10 == 0 else 20
    text = ("%d " % i) * size
    with open(writer + "/f", "w") as f:
        f.write(text)
    for at in (reader, writer):
        with open(at + "/f") as f:
            seen = f.read()
        assert seen == text, "update %d: %s reads %r..." % (i, at, seen[:30])
P
}
