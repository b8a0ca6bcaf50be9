#!/usr/bin/env bats
# What a mount does where a minority of the nodes is left (docs/filesystem.md, "In a minority"), and when they are back.

load lib
load network

setup() {
    unset NODE_INSIDE
}

teardown() {
    cd /
    stop_two_sides
}

# Three nodes and some files, of which two nodes then stop answering.
start_minority() { # [OPTION...] of the mount
    start_cluster 3
    start_mount "$BASE/mnt" -o timeo=4 "$@"
    cd "$MNT" || return 1
    mkdir d
    for f in f gone d/f; do echo before >$f; done
    head -c 200000 /dev/urandom >big
    cp big ../big
    cp big replaced
    kill -STOP "$(node_pid 2)" "$(node_pid 3)"
    let_leases_end
}
others_are_back() {
    kill -CONT "$(node_pid 2)" "$(node_pid 3)"
}
fails_with_eio() { # COMMAND...
    SECONDS=0
    run "$@"
    echo "$*: $status $output"
    [ "$status" -ne 0 ] && [[ "$output" == *"Input/output error"* ]] && [ $SECONDS -le 15 ]
}

@test "available: reading and what needs not be the only one go on, and stay when the others are back" {
    start_minority
    SECONDS=0
    echo new >new
    [ $SECONDS -le 4 ]
    SECONDS=0
    [ "$(cat new f)" = $'new\nbefore' ]
    echo more >>f
    echo more >>d/f
    echo in >d/new
    chmod 600 f
    chmod 700 d
    touch -d 2001-01-01 new
    rm gone
    cmp big ../big
    echo replaced >replaced
    cat ../big >large
    cmp large ../big
    [ "$(echo *)" = "big d f large new replaced" ]
    [ $SECONDS -le 10 ]

    others_are_back
    wait_for 20 mkdir made # it is a majority again
    [ "$(cat f d/f d/new new replaced)" = $'before\nmore\nbefore\nmore\nin\nnew\nreplaced' ]
    [ "$(stat -c %a f)" = 600 ] && [ "$(stat -c %a d)" = 700 ]
    [ "$(stat -c %Y new)" = "$(date -d 2001-01-01 +%s)" ]
    [ ! -e gone ]
    cmp large ../big
    ringctl repair --all
    ringctl verify
    [ -z "$(ringctl conflicts ls)" ]
    echo after >>f
    start_mount "$BASE/second"
    [ "$(cat f)" = $'before\nmore\nafter' ]
    [ "$(echo *)" = "big d f large made new replaced" ]
}

@test "available: what needs a majority fails with EIO, in time, and is not done" {
    start_minority
    fails_with_eio mkdir made
    fails_with_eio mv f moved
    fails_with_eio bash -c 'set -C; echo x >exclusive'
    fails_with_eio ln -s f symlink
    others_are_back
    wait_for 20 mkdir back
    [ "$(echo *)" = "back big d f gone replaced" ]
    [ "$(cat f)" = before ]
}

@test "available: changes in place of larger files fail with EIO and change nothing" {
    start_minority
    fails_with_eio dd if=/dev/zero of=big bs=1k count=1 conv=notrunc status=none
    fails_with_eio chmod 600 big
    fails_with_eio rmdir d
    others_are_back
    wait_for 20 mkdir back
    cmp big ../big
}

@test "strict: nothing is read or changed without a majority" {
    start_minority -o timeo=2,mode=strict
    fails_with_eio cat f
    fails_with_eio bash -c 'echo x >new'
    fails_with_eio rm gone
    others_are_back
    wait_for 20 mkdir back
    [ "$(cat f)" = before ]
    [ ! -e new ]
}

mount_side() { # DIRECTORY PREFIX-OF-NAMESPACE
    mkdir "$1"
    # shellcheck disable=SC2086 # a command and its arguments
    $2 "$BUILD/fs/ringfs" "$(printf '%s\n' "${MEMBERS[@]}" | sed 's/^[0-9]*=//' | paste -sd,)" "$1" \
        -o "timeo=4,log_file=$BASE/mount.log,key_file=$BASE/key" 3>&-
    MOUNTS+=("$1")
}

@test "both sides of a partition write one file: when they meet both are there, and keep resolves it" {
    start_two_sides
    wait_for 20 many status
    A=$BASE/a B=$BASE/b
    mount_side "$A" "$MANY"
    mount_side "$B" "$ONE"
    echo before >"$A/both.txt"
    echo before >"$A/edited"
    echo before >"$A/left"
    mkdir "$A/d"
    echo same >"$A/attributes"
    [ "$(cat "$B/both.txt" "$B/attributes")" = $'before\nsame' ]
    touch "$B/d" # known there
    cut
    echo majority >"$A/both.txt"
    rm "$A/edited"
    mv "$A/left" "$A/d/moved"
    echo same >"$A/same"
    echo one >"$A/new"
    chmod 600 "$A/attributes"
    chmod 700 "$A/d"
    echo minority >"$B/both.txt"
    echo edit >>"$B/edited"
    echo edit >>"$B/left"
    echo same >"$B/same"
    chown 1234 "$B/attributes" "$B/d"
    setfattr -n user.side -v minority "$B/attributes"
    head -c 100000 /dev/zero >"$B/new"
    [ "$(cat "$A/both.txt")" = majority ]
    [ "$(cat "$B/both.txt")" = minority ]
    run mkdir "$B/made"
    [ "$status" -ne 0 ]

    heal
    wait_for 30 mkdir "$B/healed"
    wait_for 30 one repair --all
    for side in "$A" "$B"; do
        wait_for 10 bash -c "[ \"\$(cat $side/both.txt $side/both.conflict-*.txt | sort | paste -sd' ')\" = 'majority minority' ]"
        wait_for 10 [ -e "$side/edited" ]
        [ "$(cat "$side/edited")" = $'before\nedit' ]
        [ "$(cat "$side/left")" = $'before\nedit' ]
        [ "$(cat "$side/d/moved")" = before ]
        [ "$(cat "$side/same")" = same ]
        [ "$(stat -c '%a %u' "$side/attributes")" = '600 1234' ]
        [ "$(getfattr --only-values -n user.side "$side/attributes")" = minority ]
        [ "$(stat -c '%a %u' "$side/d")" = '700 1234' ]
        [ "$(stat -c %s "$side"/new* | sort -n | paste -sd' ')" = "4 100000" ]
        [ "$(stat -c %i "$side/left" "$side/d/moved" | sort -u | wc -l)" -eq 2 ]
    done
    [ "$(ls "$A")" = "$(ls "$B")" ]
    [ "$(many --json conflicts ls | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" -eq 2 ]
    many conflicts keep /both.txt 1
    many conflicts keep /new winner
    [ -z "$(many conflicts ls)" ]
    wait_for 10 bash -c "[ \"\$(ls $B | wc -l)\" -eq 8 ]"
    [ "$(cat "$B/both.txt")" = "$(cat "$A/both.txt")" ]
}
