#!/usr/bin/env bats
# Locks over two mounts of one cluster: flock, fcntl, and what relies on them.

load lib
load locks

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
    # Commits are counted, not their messages: git takes no lock on COMMIT_EDITMSG, on any filesystem.
    [ "$(wc -l <"$BASE/log")" -eq 17 ]
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
