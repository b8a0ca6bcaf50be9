#!/usr/bin/env bash
# mount.sh: from nothing to a mounted ringfs on this machine, in one command.
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

usage() {
    cat <<'T'
Usage: mount.sh [OPTION]... DIR      start a local cluster and mount it at DIR
       mount.sh -u [OPTION]... DIR   unmount DIR; stop the cluster when nothing else is mounted from it

The first run installs what is missing (apt-get), builds ringfs, starts three storage nodes on this
machine and mounts them. Running it again is harmless. The files stay in the state directory when
the cluster is stopped.

  -u, --unmount       unmount, stop the nodes, keep the data
      --nodes N       storage nodes to start (default 3, at most 16); fixed once the cluster exists
      --state DIR     where the cluster keeps its data and sockets
                      (default $RINGFS_STATE, else ${XDG_STATE_HOME:-~/.local/state}/ringfs)
      --no-install    do not install anything: say what is missing and end
  -o OPTION,...       options for the mount, see ringfs(1)
  -h, --help          this text

Exit: 0 done; 1 failed; 2 usage.
T
}
say() { echo "ringfs: $*"; }
fail() {
    echo "ringfs: $*" >&2
    exit 1
}
usage_error() {
    echo "ringfs: $*; see mount.sh --help" >&2
    exit 2
}

unmount=0 nodes='' install=1 options='' dir=''
state=${RINGFS_STATE:-${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/ringfs}
while [ $# -gt 0 ]; do
    case $1 in
    -u | --unmount) unmount=1 ;;
    --nodes | --state | -o)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        case $1 in
        --nodes) nodes=$2 ;;
        --state) state=$2 ;;
        -o) options=${options:+$options,}$2 ;;
        esac
        shift
        ;;
    --nodes=*) nodes=${1#*=} ;;
    --state=*) state=${1#*=} ;;
    --no-install) install=0 ;;
    -h | --help)
        usage
        exit 0
        ;;
    --)
        shift
        break
        ;;
    -*) usage_error "unknown option $1" ;;
    *)
        [ -z "$dir" ] || usage_error "one directory only: $dir or $1?"
        dir=$1
        ;;
    esac
    shift
done
[ -n "$dir" ] || { [ $# -gt 0 ] && dir=$1; }
[ -n "$dir" ] || usage_error "where? give the directory to mount at"
case ${nodes:-3} in
'' | *[!0-9]* | ???*) usage_error "--nodes $nodes: a number from 1 to 16" ;;
esac
if [ "${nodes:-3}" -lt 1 ] || [ "${nodes:-3}" -gt 16 ]; then usage_error "--nodes $nodes: a number from 1 to 16"; fi
case $state in /*) ;; *) state=$PWD/$state ;; esac
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
[ "$dir" = / ] || dir=${dir%/}
# The longest socket is STATE/n16/socket.peer, and the kernel takes 107 bytes.
[ ${#state} -le 85 ] || fail "the state directory's name is longer than 85 bytes (sockets live in it): use --state"

# ---- what is running -----------------------------------------------------------------------------

# Whether a process runs. One that has ended is listed until its parent asks for it, which the init of many containers never does.
runs() { # PID
    grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/${1:-none}/status"
}
# Whether the process in a pid file is still the program it was written for.
alive() { # FILE PROGRAM
    local pid
    pid=$(cat "$1" 2>/dev/null) && runs "$pid" &&
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}
mounted() { grep -qF " $(printf '%s' "$1" | sed 's/ /\\040/g') fuse.ringfs " /proc/mounts; }
members() { cat "$state/members" 2>/dev/null; }
addresses() { # the nodes' addresses, one per line
    local m
    for m in $(members); do echo "${m#*=}"; done
}
release_mount() { fusermount3 -u "$1" 2>/dev/null || umount "$1" 2>/dev/null; }

# A mount whose process is gone: every access says "Transport endpoint is not connected".
clear_dead_mount() {
    mounted "$dir" || return 0
    local answer
    answer=$(LC_ALL=C stat "$dir" 2>&1) && return 0
    case $answer in
    *"not connected"*)
        say "clearing a dead mount at $dir"
        fusermount3 -uz "$dir" 2>/dev/null || umount -l "$dir" || fail "cannot clear the dead mount at $dir"
        ;;
    esac
}

stop_nodes() {
    local n pids=''
    for n in "$state"/n[0-9]*; do
        alive "$n/pid" ringnode || continue
        pids="$pids $(cat "$n/pid")"
        kill -TERM "$(cat "$n/pid")"
    done
    for _ in $(seq 100); do
        n=''
        for pid in $pids; do runs "$pid" && n=$pid; done
        [ -n "$n" ] || return 0
        sleep 0.1
    done
    fail "node with process id $n does not end; its log is in $state"
}

# ---- unmount -------------------------------------------------------------------------------------

do_unmount() {
    clear_dead_mount
    if mounted "$dir"; then
        local pid
        pid=$(mount_process)
        release_mount "$dir" || fail "$dir is in use; close what works in it (fuser -vm '$dir' names it) and try again"
        for _ in $(seq 100); do mounted "$dir" || break; sleep 0.1; done
        # The mount's process still sends what it holds: the nodes stay up until it has ended.
        for _ in $(seq 150); do
            runs "$pid" || break
            sleep 0.1
        done
        say "unmounted $dir"
    else
        say "nothing is mounted at $dir"
    fi
    if others=$(other_mounts) && [ -n "$others" ]; then
        say "the cluster stays up for $others"
        return
    fi
    [ -d "$state" ] || return 0
    stop_nodes
    say "the nodes are stopped, the data stays in $state"
}
# The process behind the mount at DIR.
mount_process() {
    local p
    for p in /proc/[0-9]*; do
        [ "$(cat "$p/comm" 2>/dev/null)" = ringfs ] && tr '\0' '\n' <"$p/cmdline" | grep -qxF "$dir" &&
            echo "${p#/proc/}"
    done 2>/dev/null | head -n 1
}
# Other directories that this cluster is mounted at.
other_mounts() { grep -F "ringfs:$state " /proc/mounts | cut -d' ' -f2; }

# ---- mount ---------------------------------------------------------------------------------------

ensure_programs() {
    if [ $install = 1 ]; then
        "$top/packaging/install-dependencies" build || exit 1
    else
        missing=$("$top/packaging/install-dependencies" build --check) ||
            fail "missing packages (--no-install was given): $missing"
    fi
    local build=$top/build
    [ -f "$build/build.ninja" ] || {
        say "configuring the build"
        cmake -G Ninja -S "$top" -B "$build" >"$state/build.log" 2>&1 || fail_log "$state/build.log"
    }
    [ -x "$build/fs/ringfs" ] || say "building (about a minute)"
    cmake --build "$build" --target ringnode ringfs ringctl >"$state/build.log" 2>&1 || fail_log "$state/build.log"
    PATH=$build/fs:$build/node:$PATH
}
fail_log() {
    tail -n 15 "$1" >&2
    fail "that failed; the whole of it is in $1"
}

describe_cluster() {
    if [ -s "$state/members" ]; then
        local have
        have=$(members | wc -l)
        [ -z "$nodes" ] || [ "$nodes" = "$have" ] ||
            fail "the cluster in $state has $have nodes; use another --state for one of $nodes"
        return
    fi
    local i
    for i in $(seq "${nodes:-3}"); do
        mkdir -p "$state/n$i" || exit 1
        echo "$i=ipc://$state/n$i/socket"
    done >"$state/members.new" && mv "$state/members.new" "$state/members"
    addresses >"$state/cluster"
}

all_alive() {
    local m
    for m in $(members); do alive "$state/n${m%%=*}/pid" ringnode || return 1; done
}
start_nodes() {
    local started=0 answers=no i m list=()
    for m in $(members); do list+=(--member "$m"); done
    for m in $(members); do
        i=${m%%=*}
        alive "$state/n$i/pid" ringnode && continue
        mkdir -p "$state/n$i"
        setsid ringnode --id "$i" --data "$state/n$i/data" --listen "${m#*=}" "${list[@]}" \
            --pid-file "$state/n$i/pid" --log-file "$state/n$i/log" </dev/null >"$state/n$i/start.log" 2>&1 &
        started=$((started + 1))
    done
    [ $started = 0 ] || say "starting $started storage nodes"
    for _ in $(seq 150); do
        ringctl --cluster "$(addresses | paste -sd,)" --timeout 2 ls / >/dev/null 2>&1 && answers=yes && all_alive && return 0
        sleep 0.1
    done
    for m in $(members); do
        i=${m%%=*}
        alive "$state/n$i/pid" ringnode || { tail -qn 3 "$state/n$i/start.log" "$state/n$i/log" >&2; say "node $i did not start" >&2; }
    done
    [ $answers = yes ] || fail "the cluster does not answer; the nodes' logs are $state/n*/log"
}

do_mount() {
    umask 077
    mkdir -p "$state" || exit 1
    exec 9>"$state/lock"
    flock -w 120 9 || fail "another mount.sh is at work on $state"
    clear_dead_mount
    ensure_programs
    describe_cluster
    start_nodes 9>&-
    if mounted "$dir"; then
        say "already mounted at $dir"
    else
        [ -d "$dir" ] || mkdir -p "$dir" || exit 1
        ringfs "$(addresses | paste -sd,)" "$dir" -o "fsname=ringfs:$state${options:+,$options}" 9>&- ||
            fail "the mount failed; the nodes' logs are $state/n*/log"
    fi
    cat <<T

  try:      echo hello > $dir/greeting; cat $dir/greeting; $top/build/node/ringctl where /greeting
  break it: kill -9 $(cat "$state/n1/pid") (node 1), go on working, and run $0 $dir again to bring it back
  undo:     $0 -u $dir     (the files stay in $state)
T
}

if [ $unmount = 1 ]; then do_unmount; else do_mount; fi
