# locks.bash: two mounts of one cluster, $A and $B, and a program that holds a lock; for tests of locks.

setup() {
    start_cluster 3
    start_mount "$BASE/mnt" -o lease=2
    start_mount "$BASE/second" -o lease=2
    # shellcheck disable=SC2034 # for the tests
    A=$BASE/mnt B=$BASE/second
}

teardown() {
    [ -z "${HOLDER-}" ] || kill -KILL "$HOLDER" 2>/dev/null || true
    stop_cluster
}

locks() { timeout 120 python3 "$BATS_TEST_DIRNAME/locks.py" "$@"; }
says() { # FILE LINE: shows what it says instead
    grep -qx "$2" "$BASE/$1" || {
        cat "$BASE/$1"
        return 1
    }
}

# Holds a lock on a file until a line is written to descriptor 8: then it writes and syncs. HOLDER, $BASE/holder.
hold() { # FILE
    mkfifo "$BASE/go"
    python3 "$BATS_TEST_DIRNAME/locks.py" hold "$1" <"$BASE/go" >"$BASE/holder" 2>&1 3>&- &
    HOLDER=$!
    exec 8>"$BASE/go"
    wait_for 20 says holder held
}

is_locked() { [ "$(locks attempt "$1")" = locked ]; }
is_free() { [ "$(locks attempt "$1")" = free ]; }
