# lib.bash: real nodes for bats tests. Everything lives in $BASE, a fresh directory; processes are ended by their ids.
#
#   make_base                  BASE and nothing else
#   start_cluster N [tcp]      BASE, N nodes on ipc:// (or tcp:// with a key), waits until all serve
#   start_node I [OPTION]...   one of them, again; waits until it serves
#   stop_node I                SIGTERM, waits for its end (at most 10 s), sets EXIT_CODE
#   kill_node I                SIGKILL
#   stop_cluster               all of that undone, BASE removed; for teardown, harmless twice
#   wait_for SECONDS COMMAND...  until the command succeeds; fails when it has not by then
#   let_leases_end             after nodes were stopped: mounts answer no more from what their leases cover (WATCH_LEASE_MS)
#   ringctl ...                on this cluster
#   start_mount [DIR [OPTION...]]  mounts it at DIR (default $MNT = $BASE/mnt)
#   stop_mount [DIR]           unmounts, waits until the process has ended
#   mount_pid [DIR]             the process that holds the mount
#   worker_pid [DIR]            the one that serves it now
#
# NODE_INSIDE[I]="ip netns exec NAME" starts node I in there.
# Of node I: $BASE/nI (data directory), $BASE/nI.log, $BASE/nI.out, node_pid I, node_address I.

BUILD=${RINGFS_BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}

make_base() {
    BASE=$(mktemp -d "${TMPDIR:-/tmp}/rfs.XXXXXX")
    MEMBERS=() PIDS=() KEY=() MOUNTS=() NODE_INSIDE=()
}

wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "not within the time given: $*"
            return 1
        fi
        sleep 0.05
    done
}

let_leases_end() { sleep 1; }

node_pid() { echo "${PIDS[$1]}"; }
node_address() { local m=${MEMBERS[$1 - 1]}; echo "${m#*=}"; }
node_runs() { # a zombie has ended
    local state
    state=$(sed 's/.*) //' "/proc/${PIDS[$1]}/stat" 2>/dev/null) && [ "${state%% *}" != Z ]
}
node_ended() { ! node_runs "$1"; }
node_serves() { grep -q serving "$BASE/n$1.out"; }
node_serves_or_ended() { node_serves "$1" || node_ended "$1"; }

# Ports that nothing listens on: the second of each pair is the peers'.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000 * 2))
        [ $port -lt 60000 ] && ! ss -Hltn "sport = :$port or sport = :$((port + 1))" | grep -q . && break
    done
    echo $port
}

node_options() { # I: in OPTIONS
    local m
    OPTIONS=(--id "$1" --data "$BASE/n$1" --log-file "$BASE/n$1.log" --pid-file "$BASE/n$1.pid")
    for m in "${MEMBERS[@]}"; do OPTIONS+=(--member "$m"); done
    OPTIONS+=("${KEY[@]}")
}

launch_node() { # I [OPTION]...: does not wait
    local i=$1 OPTIONS
    shift
    node_options "$i"
    : >"$BASE/n$i.out" # what an earlier start of it said is not said by this one
    # shellcheck disable=SC2086 # a command and its arguments
    ${NODE_INSIDE[$i]-} "$BUILD/node/ringnode" "${OPTIONS[@]}" "$@" </dev/null >"$BASE/n$i.out" 2>"$BASE/n$i.err" 3>&- &
    PIDS[i]=$!
}

start_node() { # I [OPTION]...
    launch_node "$@"
    wait_for 20 node_serves_or_ended "$1" || return 1
    node_serves "$1" || {
        echo "node $1 did not start:"
        cat "$BASE/n$1.err"
        return 1
    }
}

start_cluster() { # N [tcp]
    local i
    make_base
    for i in $(seq "$1"); do
        if [ "${2-}" = tcp ]; then
            MEMBERS+=("$i=tcp://127.0.0.1:$(free_port)")
        else
            MEMBERS+=("$i=ipc://$BASE/s$i")
        fi
    done
    if [ "${2-}" = tcp ]; then
        "$BUILD/node/ringctl" keygen "$BASE/key" >/dev/null || return 1
        KEY=(--key-file "$BASE/key")
    fi
    for i in $(seq "$1"); do launch_node "$i"; done
    for i in $(seq "$1"); do
        wait_for 20 node_serves "$i" || { cat "$BASE/n$i.err"; return 1; }
    done
}

stop_node() { # I: EXIT_CODE
    kill -TERM "${PIDS[$1]}" || return 1
    wait_for 10 node_ended "$1" || return 1
    EXIT_CODE=0
    # shellcheck disable=SC2034 # for the test
    wait "${PIDS[$1]}" || EXIT_CODE=$?
}

process_of_mount() { # NAME DIR: starts no process for each that there is
    local p comm
    for p in /proc/[0-9]*; do
        { read -r comm <"$p/comm"; } 2>/dev/null && [ "$comm" = "$1" ] &&
            tr '\0' '\n' <"$p/cmdline" 2>/dev/null | grep -qxF "$2" && echo "${p#/proc/}"
    done
    return 0
}
mount_pid() { process_of_mount ringfs "${1-$BASE/mnt}"; }
worker_pid() { process_of_mount ringfs-worker "${1-$BASE/mnt}"; }

start_mount() { # [DIR [OPTION...]]
    MNT=${1-$BASE/mnt}
    shift || true
    mkdir -p "$MNT" 2>/dev/null || true # there already, or a dead mount
    "$BUILD/fs/ringfs" "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" "$MNT" \
        -o "log_file=$BASE/mount.log${KEY:+,key_file=${KEY[1]}}" "$@" 3>&- || return 1
    MOUNTS+=("$MNT")
}

# One that nobody has asked for (a zombie) has ended, too.
process_ended() { [ -z "$1" ] || ! grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

stop_mount() { # [DIR]
    local dir=${1-$BASE/mnt} pid
    pid=$(mount_pid "$dir")
    umount "$dir" || return 1
    wait_for 15 process_ended "$pid"
}

kill_node() { # I
    kill -KILL "${PIDS[$1]}" 2>/dev/null
    wait "${PIDS[$1]}" 2>/dev/null || true
}

stop_cluster() {
    local i pid
    [ -n "${BASE-}" ] || return 0
    if [ -z "${BATS_TEST_COMPLETED-}" ]; then
        tail -n 20 "$BASE"/n*.log "$BASE"/n*.err "$BASE"/mount.log 2>/dev/null || true # the test failed: show why
    fi
    for i in "${MOUNTS[@]}"; do
        ! grep -qF " $i " /proc/mounts || umount -l "$i"
        for pid in $(mount_pid "$i") $(worker_pid "$i"); do kill -KILL "$pid" || true; done
    done
    for i in "${!PIDS[@]}"; do kill_node "$i"; done
    rm -rf "$BASE"
    BASE=''
}

ringctl() {
    command "$BUILD/node/ringctl" --cluster "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" "${KEY[@]}" "$@"
}
