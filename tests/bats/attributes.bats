#!/usr/bin/env bats
# Extended attributes, ACLs, modes and times on a real mount, with the tools that use them.

bats_require_minimum_version 1.5.0
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

# As the user and group 1001, with further groups.
as_user() { # COMMAND...
    setpriv --reuid 1001 --regid 1001 --clear-groups "$@"
}

value() { # FILE NAME
    getfattr --only-values -h -n "$2" "$1"
}

# What setxattr(2) and the like answer: an errno's name, or ok.
python_errno() { # EXPRESSION
    python3 -c "
import errno, os
try:
    $1
    print('ok')
except OSError as e:
    print(errno.errorcode[e.errno])"
}

@test "attributes of files, directories and the root are set, listed, replaced and removed" {
    echo x >file
    mkdir dir
    for f in file dir .; do
        setfattr -n user.one -v 1 "$f"
        setfattr -n user.two -v 22 "$f"
        setfattr -n user.one -v 111 "$f"
        setfattr -n user.empty "$f"
        [ "$(value "$f" user.one)" = 111 ]
        [ "$(getfattr "$f" 2>/dev/null | grep -c ^user)" -eq 3 ]
        setfattr -x user.one "$f"
        run ! value "$f" user.one
        run ! setfattr -x user.one "$f"
        [ "$(value "$f" user.two)" = 22 ]
    done
    [ "$(cat file)" = x ]
    start_mount "$BASE/second"
    cd "$BASE/second"
    for f in file dir .; do
        [ "$(value "$f" user.two)" = 22 ]
    done
}

@test "attributes stay through writes, renames, chmod and a new mount" {
    echo x >file
    mkdir dir
    setfattr -n user.a -v kept file
    setfattr -n user.a -v kept dir
    head -c 300000 /dev/urandom >>file
    chmod 600 file
    chmod 700 dir
    mv file dir/moved
    mv dir renamed
    : >renamed/moved
    cd /
    stop_mount
    start_mount
    cd "$MNT"
    [ "$(value renamed user.a)" = kept ]
    [ "$(value renamed/moved user.a)" = kept ]
}

@test "setxattr answers as xattr(7) says" {
    echo x >f
    mkdir d
    mkfifo p
    ln -s f l
    [ "$(python_errno "os.getxattr('f', 'user.none')")" = ENODATA ]
    [ "$(python_errno "os.removexattr('f', 'user.none')")" = ENODATA ]
    [ "$(python_errno "os.setxattr('f', 'user.a', b'1', os.XATTR_REPLACE)")" = ENODATA ]
    [ "$(python_errno "os.setxattr('f', 'user.a', b'1', os.XATTR_CREATE)")" = ok ]
    [ "$(python_errno "os.setxattr('f', 'user.a', b'1', os.XATTR_CREATE)")" = EEXIST ]
    [ "$(python_errno "os.setxattr('f', 'user.a', b'2', os.XATTR_REPLACE)")" = ok ]
    [ "$(python_errno "os.setxattr('f', 'user.', b'2')")" = EINVAL ]
    [ "$(python_errno "os.setxattr('f', 'nothing.a', b'2')")" = ENOTSUP ]
    [ "$(python_errno "os.setxattr('f', 'system.a', b'2')")" = ENOTSUP ]
    [ "$(python_errno "os.setxattr('f', 'user.' + 'n' * 250, b'2')")" = ok ]
    [ "$(python_errno "os.setxattr('f', 'user.' + 'n' * 251, b'2')")" = ERANGE ]
    [ "$(python_errno "os.setxattr('f', 'user.big', b'x' * 65536)")" = E2BIG ]
    [ "$(python_errno "os.setxattr('f', 'user.big', b'x' * 65000)")" = ok ]
    [ "$(python_errno "os.setxattr('f', 'user.more', b'x' * 1000)")" = ENOSPC ]
    [ "$(python_errno "os.setxattr('d', 'user.big', b'x' * 65000)")" = ok ]
    [ "$(python_errno "assert os.getxattr('f', 'user.big') == b'x' * 65000")" = ok ]
    [ "$(python_errno "assert os.getxattr('d', 'user.big') == b'x' * 65000")" = ok ]
    [ "$(python_errno "os.setxattr('p', 'user.a', b'2')")" = EPERM ]
    [ "$(python_errno "os.setxattr('l', 'user.a', b'2', follow_symlinks=False)")" = EPERM ]
    [ "$(python_errno "os.setxattr('l', 'trusted.a', b'2', follow_symlinks=False)")" = ok ]
    [ "$(value l trusted.a)" = 2 ]
    # A buffer that is too short, which Python never shows.
    python3 - <<'PY'
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
short = ctypes.create_string_buffer(3)
assert libc.getxattr(b"f", b"user.big", short, 3) == -1 and ctypes.get_errno() == errno.ERANGE
assert libc.listxattr(b"f", short, 3) == -1 and ctypes.get_errno() == errno.ERANGE
assert libc.getxattr(b"f", b"user.big", None, 0) == 65000
PY
}

@test "trusted attributes are root's, capabilities hold until the file is written" {
    echo x >f
    chmod 666 f
    setfattr -n trusted.t -v 1 f
    setfattr -n user.u -v 1 f
    [ "$(getfattr -m - f | grep -c '^[tu]')" -eq 2 ]
    [ "$(as_user getfattr -m - f | grep -c '^[tu]')" -eq 1 ]
    run ! as_user setfattr -n trusted.t -v 2 f
    run ! as_user setfattr -n user.u -v 2 . # others' directory
    # cap_net_raw+ep as setcap(8) writes it
    setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f
    [ -n "$(getfattr -h -n security.capability f)" ]
    as_user sh -c 'echo more >>f'
    run ! getfattr -h -n security.capability f
}

@test "attributes set by two mounts at once are all there" {
    start_mount "$BASE/second"
    echo x >"$BASE/mnt/f"
    mkdir "$BASE/mnt/d"
    local pids=()
    for m in mnt second; do
        (for i in $(seq 15); do
            setfattr -n "user.$m$i" -v "$i" "$BASE/$m/f"
            setfattr -n "user.$m$i" -v "$i" "$BASE/$m/d"
        done) 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    all() { [ "$(getfattr "$1" 2>/dev/null | grep -c ^user)" -eq 30 ]; }
    wait_for 5 all "$BASE/mnt/f"
    wait_for 5 all "$BASE/second/d"
}

@test "an ACL opens a file for one more user and shows in the mode" {
    echo secret >f
    chmod 600 f
    run ! as_user cat f
    setfacl -m u:1001:r f
    [ "$(as_user cat f)" = secret ]
    run ! as_user sh -c 'echo no >>f'
    [ "$(stat -c %a f)" = 640 ]
    chmod 600 f # takes the mask away
    run ! as_user cat f
    getfacl -c f | grep -q '^mask::---'
    chmod 640 f
    [ "$(as_user cat f)" = secret ]
    setfacl -b f # the group's own entry has been empty all along
    [ "$(stat -c %a f)" = 600 ]
    [ -z "$(getfattr -m - f)" ]
    run ! as_user cat f
    setfacl -m u::rwx,g::rx,o::x f # says what a mode does
    [ "$(stat -c %a f)" = 751 ]
    [ -z "$(getfattr -m - f)" ]
}

@test "a default ACL is inherited, and the umask counts only without one" {
    mkdir with without
    setfacl -d -m u::rwx,u:1001:rwx,g::rx,o::- with
    (
        umask 027
        touch with/f without/f
        mkdir with/d without/d
        mkfifo with/p
        ln -s f with/l
    )
    [ "$(stat -c %a without/f)" = 640 ]
    [ "$(stat -c %a without/d)" = 750 ]
    [ "$(stat -c %a with/f)" = 660 ]
    [ "$(stat -c %a with/d)" = 770 ]
    [ "$(stat -c %a with/p)" = 660 ]
    getfacl -c with/f | grep -q '^user:1001:rwx.*#effective:rw-'
    getfacl -c with/d | grep -q '^default:user:1001:rwx'
    [ "$(getfacl -c with/d/.. | grep default)" = "$(getfacl -c with/d | grep default)" ]
    as_user touch with/d/mine
    touch with/d/deeper
    as_user sh -c 'echo x >>with/d/deeper'
    run ! as_user touch without/no
    [ "$(stat -c %a with/d/mine)" = 660 ]
}

@test "an ACL that somebody outside the group sets takes setgid away" {
    echo x >f
    chown 1001:0 f
    chmod 2755 f
    as_user setfacl -m u:7:r f
    [ "$(stat -c %a f)" = 755 ]
    chown 1001:1002 f
    chmod 2755 f
    setpriv --reuid 1001 --regid 1001 --groups 1002 setfacl -m u:8:r f
    [ "$(stat -c %a f)" = 2755 ]
}

@test "cp -a, rsync -AX and tar carry attributes and ACLs both ways" {
    local tree="$BASE/tree"
    mkdir -p "$tree/sub"
    echo x >"$tree/sub/f"
    echo y >"$tree/big"
    head -c 100000 /dev/urandom >>"$tree/big"
    for f in "$tree" "$tree/sub" "$tree/sub/f" "$tree/big"; do
        setfattr -n user.name -v "$(basename "$f")" "$f" || skip "no attributes on the local disk"
        setfacl -m u:1001:rw,g:1002:r "$f" || skip "no ACLs on the local disk"
    done
    setfacl -d -m u:1003:rx "$tree/sub"
    tell() { (cd "$1" && getfattr -R -d -m - . && getfacl -R -n . && find . -printf '%p %m %U %G %y\n' | sort); }
    cp -a "$tree" cp
    rsync -aAX "$tree/" rsync/
    tar -C "$BASE" --xattrs --acls --xattrs-include='*' -cf "$BASE/t.tar" tree
    tar --xattrs --acls --xattrs-include='*' -xf "$BASE/t.tar"
    for copy in cp rsync tree; do
        diff <(tell "$tree") <(tell $copy)
    done
    cp -a cp "$BASE/back"
    diff <(tell "$tree") <(tell "$BASE/back")
    rsync -aAX --itemize-changes rsync/ "$BASE/back/" >"$BASE/changes"
    run ! grep -v '^\.[df]\.\.t' "$BASE/changes"
}

@test "writing, truncating and chown by others clear setuid and setgid" {
    for what in 'echo x >>f' 'echo y >f' ': >f' 'truncate -s 1 f' 'truncate -s 100000 f'; do
        rm -f f
        echo some text >f
        chmod 6777 f
        as_user sh -c "$what"
        [ "$(stat -c %a f)" = 777 ] || { echo "$what: $(stat -c %a f)"; false; }
    done
    chown 1001:1001 f
    chmod 6755 f
    setpriv --reuid 1001 --regid 1001 --groups 1002 chgrp 1002 f
    [ "$(stat -c %a f)" = 755 ]
    chmod 6755 f
    echo root may >>f
    [ "$(stat -c %a f)" = 6755 ]
}

@test "in a sticky directory names are their owners'" {
    mkdir sticky
    chmod 1777 sticky
    echo x >sticky/roots
    chmod 666 sticky/roots
    as_user touch sticky/mine
    run ! as_user rm -f sticky/roots
    run ! as_user mv sticky/roots sticky/other
    as_user rm sticky/mine
    setpriv --reuid 1002 --regid 1002 --clear-groups touch sticky/theirs
    run ! as_user rm -f sticky/theirs
}

@test "times: now, left alone, before 1970, after 2106, in nanoseconds" {
    python3 - <<'PY'
import os, time
def times(f): s = os.stat(f); return s.st_atime_ns, s.st_mtime_ns
for f in "file", "dir":
    os.mkdir(f) if f == "dir" else open(f, "w").close()
    for t in (-14182940 * 10**9 + 1, 4323456789 * 10**9 + 123456789, 0, 999999999, -1):
        os.utime(f, ns=(t, t + 1))
        assert times(f) == (t, t + 1), (f, t, times(f))
before = time.time_ns() - 10**9
os.utime("file")
assert min(times("file")) > before
PY
    touch -d '2001-01-01 UTC' file
    touch -a file
    [ "$(stat -c %Y file)" -eq 978307200 ]
    [ "$(stat -c %X file)" -gt 978307200 ]
    touch -m -d '2002-01-01 UTC' file
    [ "$(stat -c %Y file)" -eq 1009843200 ]
    chmod 666 file
    as_user touch file # now: with the right to write
    run ! as_user touch -d '2001-01-01 UTC' file
}

@test "reading is noted only where it was asked for" {
    start_mount "$BASE/relative" -o relatime
    start_mount "$BASE/strict" -o strictatime
    atime() { stat -c %.9X "$BASE/strict/$1"; }
    changed() { [ "$(atime "$1")" != "$2" ]; }
    echo x >f
    echo x >g
    old=$(atime f)
    cat f
    [ "$(atime f)" = "$old" ]
    modified=$(stat -c %.9Y f)
    cat "$BASE/relative/f"
    wait_for 10 changed f "$old"
    [ "$(stat -c %.9Y "$BASE/strict/f")" = "$modified" ]
    # Once read since its last change it is not noted again; another file is.
    old=$(atime f)
    old_g=$(atime g)
    cat "$BASE/relative/f" "$BASE/relative/g"
    wait_for 10 changed g "$old_g"
    [ "$(atime f)" = "$old" ]
    cat "$BASE/strict/f"
    wait_for 10 changed f "$old"
    old=$(atime f)
    cat "$BASE/strict/f" # from the kernel's pages
    wait_for 10 changed f "$old"
    old=$(atime f)
    python3 -c 'import os; f = os.open("'"$BASE/strict/f"'", os.O_RDONLY | os.O_NOATIME); os.read(f, 10); os.close(f)'
    old_g=$(atime g)
    cat "$BASE/strict/g"
    wait_for 10 changed g "$old_g"
    [ "$(atime f)" = "$old" ]
}

@test "times that were set on a directory stay when a node that was away then comes back" {
    local i
    cd / # not to be where the node that is started would be
    for i in 1 2 3 4 5 6; do
        mkdir "$MNT/before$i"
        touch -d 2001-01-01 "$MNT/before$i"
    done
    kill_node 2
    for i in 1 2 3 4 5 6; do
        mkdir "$MNT/new$i"
        touch -d 2001-01-01 "$MNT/new$i" "$MNT/before$i"
        chmod 700 "$MNT/new$i" "$MNT/before$i"
    done
    start_node 2
    ringctl repair --all >"$BASE/repair"
    wait_for 20 ringctl verify
    stop_mount
    start_mount
    for i in 1 2 3 4 5 6; do
        [ "$(date -r "$MNT/new$i" +%Y)" = 2001 ]
        [ "$(date -r "$MNT/before$i" +%Y)" = 2001 ]
    done
    mkdir "$MNT/new1/name"
    [ "$(date -r "$MNT/new1" +%Y)" != 2001 ]
}
