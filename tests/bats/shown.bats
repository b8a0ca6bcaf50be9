#!/usr/bin/env bats
# What a mount shows of itself and its cluster: the directory .ringfs and the attributes user.ringfs.*.

bats_require_minimum_version 1.5.0
load lib

setup() {
    start_cluster 3
}

teardown() {
    cd / || true
    for pid in "${STOPPED[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
    stop_cluster
}

stop_all_nodes() { # as if all machines had stalled
    STOPPED=()
    for i in 1 2 3; do
        STOPPED+=("$(node_pid $i)")
        kill -STOP "$(node_pid $i)"
    done
    let_leases_end
}

@test ".ringfs is not listed, can be read, and cannot be changed" {
    start_mount
    cd "$MNT"
    echo hello >f
    [ "$(ls -A)" = f ]
    [ "$(find . | wc -l)" -eq 2 ]
    (cd .ringfs && [ "$(echo *)" = "config errors ops ring stats status" ])
    [ "$(find .ringfs -type f -printf x)" = xxxxxx ]
    ls -l .ringfs
    grep -q '3 of 3 alive' .ringfs/status
    [ "$(grep -c '^node' .ringfs/ring)" -eq 3 ]
    grep -q '^operations_answered [1-9]' .ringfs/stats
    grep -q "^mountpoint $MNT" .ringfs/config
    grep -q ' create OK .*ms /f$' .ringfs/ops
    [ -z "$(cat .ringfs/errors)" ]
    run ! touch .ringfs/new
    run ! mkdir .ringfs/new
    run ! rm .ringfs/ops
    run ! rmdir .ringfs
    run ! mv .ringfs other
    run ! mv f .ringfs/f
    run ! chmod 777 .ringfs/ops
    run ! sh -c 'echo x >.ringfs/ops'
    run ! ln -s f .ringfs/l
    run ! cat .ringfs/none
    run ! setpriv --reuid 1001 --regid 1001 --clear-groups cat .ringfs/ops
    setpriv --reuid 1001 --regid 1001 --clear-groups cat .ringfs/status >/dev/null
    tar -cf "$BASE/status.tar" .ringfs/status
    cp .ringfs/status "$BASE/status"
    grep -q '3 of 3 alive' "$BASE/status"
    cp -a . "$BASE/copy"
    [ ! -e "$BASE/copy/.ringfs" ]
}

@test ".ringfs answers when no node does, and tells what failed" {
    start_mount "$BASE/mnt" -o timeo=2
    cd "$MNT"
    echo hello >f
    echo hello >g
    stop_all_nodes
    run ! timeout 20 sh -c 'echo x >f'
    began=$(date +%s%N)
    cat .ringfs/errors .ringfs/status .ringfs/stats .ringfs/ring .ringfs/config .ringfs/ops >"$BASE/told"
    [ $((($(date +%s%N) - began) / 1000000)) -lt 3000 ]
    cat .ringfs/errors
    grep -q '/f (' .ringfs/errors
    grep -q 'nodes\? .* did not' .ringfs/errors
    all_silent() { grep -q ' 0 of 3 alive' .ringfs/status; }
    wait_for 10 all_silent
    cat g >/dev/null 3>&- &
    waiting=$!
    under_way() { grep -q 'under way for .* /g' .ringfs/ops; }
    wait_for 5 under_way
    wait $waiting || true
    for pid in "${STOPPED[@]}"; do kill -CONT "$pid"; done
    wait_for 20 grep -q hello g
    wait_for 10 grep -q ' 3 of 3 alive' .ringfs/status
}

@test "user.ringfs attributes tell where a file lies, and are in no list" {
    start_mount
    cd "$MNT"
    echo hello >f
    mkdir d
    value() { getfattr --only-values -n "user.ringfs.$2" "$1"; }
    value f key | grep -Eq '^64[0-9a-f]{34} 65[0-9a-f]{16}66$'
    value d key | grep -Eq '^64[0-9a-f]{34} 68$'
    value f replicas | grep -Eq '^slice [0-9]+:( [123]=ipc://[^ ]*){3}$'
    value d replicas | grep -Eq '^slice'
    [ "$(value f replicas | sed 's/slice \([0-9]*\):.*/\1/')" = "$(ringctl where /f --json | jq .slice)" ]
    before=$(value f version)
    [ "${#before}" -eq 32 ]
    echo more >>f
    [ "$(value f version)" != "$before" ]
    [ "$(value f conflicts)" = 0 ]
    run ! value f none
    run ! value d version
    run ! setfattr -n user.ringfs.key -v x f
    [ -z "$(getfattr -m - f d)" ]
}

@test "setting user.ringfs.refresh shows at once what others have changed" {
    start_mount "$BASE/mnt" -o attr_timeout=600
    start_mount "$BASE/second"
    mkdir -p "$BASE/mnt/d/e"
    echo one >"$BASE/mnt/d/e/f"
    chmod 600 "$BASE/mnt/d/e/f"
    chmod 640 "$BASE/second/d/e/f"
    setfattr -n user.ringfs.refresh -v 1 "$BASE/mnt/d/e/f"
    [ "$(stat -c %a "$BASE/mnt/d/e/f")" = 640 ]
    chmod 700 "$BASE/second/d/e"
    chmod 644 "$BASE/second/d/e/f"
    setfattr -n user.ringfs.refresh -v 1 "$BASE/mnt/d"
    [ "$(stat -c %a "$BASE/mnt/d/e")" = 700 ]
    [ "$(stat -c %a "$BASE/mnt/d/e/f")" = 644 ]
}

@test ".ringfs and ACLs are as before when another process has taken over" {
    start_mount
    cd "$MNT"
    mkdir d
    setfacl -d -m u:1001:rwx d
    exec 7<.ringfs/status
    kill -KILL "$(worker_pid)"
    wait_for 20 ls d
    grep -q 'nodes . of 3 alive' .ringfs/status
    run ! cat <&7
    exec 7<&-
    (umask 077 && echo x >d/f)
    [ "$(stat -c %a d/f)" = 664 ]
    getfacl -c d/f | grep -q '^user:1001:rwx'
    grep -q ' create OK .* /d/f$' .ringfs/ops
}
