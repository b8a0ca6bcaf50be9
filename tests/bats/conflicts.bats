#!/usr/bin/env bats
# Files that two sides wrote: on a mount as files, and by `ringctl conflicts`.

load lib

setup() {
    start_cluster 3
}

teardown() {
    stop_cluster
}

# PATH with the contents "second", and "first" as a version beside it.
make_conflict() { # PATH
    ringctl put --blind "$1" first
    ringctl put --blind "$1" second
}
losers() { ringctl --json conflicts ls "$@" | python3 -c 'import json, sys
for v in json.load(sys.stdin): print(v["path"])'; }

@test "the mount shows every version as a file, and rm, mv and writing leave the others" {
    make_conflict /a.txt
    ringctl put --blind /a.txt third
    start_mount
    [ "$(cat "$MNT/a.txt")" = third ]
    [ "$(stat -c %n "$MNT"/* | wc -l)" -eq 3 ]
    [[ "$(cat "$MNT"/a.conflict-*.txt)" =~ ^(firstsecond|secondfirst)$ ]]
    local first second
    first=$(grep -l first "$MNT"/a.conflict-*.txt)
    second=$(grep -l second "$MNT"/a.conflict-*.txt)
    [ "$(stat -c %i "$MNT"/a* | sort -u | wc -l)" -eq 3 ]
    echo fourth >"$MNT/a.txt"
    [ "$(cat "$first")" = first ]
    rm "$first"
    [ ! -e "$first" ]
    [ "$(cat "$second")" = second ]
    mv "$second" "$MNT/saved"
    [ "$(echo "$MNT"/*)" = "$MNT/a.txt $MNT/saved" ]
    [ "$(cat "$MNT/saved")" = second ]
    [ "$(cat "$MNT/a.txt")" = fourth ]
}

@test "with conflicts=hide listings show winners only, and what is hidden is reached, found and resolved" {
    start_mount "$BASE/shows"
    start_mount "$BASE/hides" -o conflicts=hide
    mkdir "$BASE/hides/d"
    echo plain >"$BASE/hides/d/b.txt"
    make_conflict /d/a.txt
    local loser
    loser=$(losers)
    [ "$(wc -l <<<"$loser")" -eq 1 ]
    [ "$(ls "$BASE/shows/d")" = "a.conflict-${loser#*.conflict-}
a.txt
b.txt" ]
    [ "$(ls "$BASE/hides/d")" = "a.txt
b.txt" ]
    [ "$(find "$BASE/hides/d" -type f | wc -l)" -eq 2 ]
    [ "$(cat "$BASE/hides/d/a.txt")" = second ]
    [ "$(cat "$BASE/hides$loser")" = first ]
    # Writing the winner makes the other a file of its own: it stays hidden, and a directory that is empty to look at is not.
    echo third >"$BASE/hides/d/a.txt"
    [ "$(ls "$BASE/hides/d")" = "a.txt
b.txt" ]
    [ "$(cat "$BASE/shows$loser")" = first ]
    run rm -r "$BASE/hides/d"
    [ "$status" -ne 0 ]
    [[ "$output" = *"not empty"* ]]
    [ "$(losers)" = "$loser" ]
    rm "$BASE/hides$loser"
    rmdir "$BASE/hides/d"
    [ -z "$(losers)" ]
}

@test "conflicts ls finds them everywhere, show numbers them, keep resolves" {
    start_mount
    mkdir -p "$MNT/d/e"
    make_conflict /d/e/b.txt
    make_conflict /top
    [ "$(losers | wc -l)" -eq 2 ]
    [ "$(losers /d)" = "$(losers | grep /d/e/b.conflict-)" ]
    run ringctl conflicts show /d/e/b.txt
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 2 ]
    [[ "${lines[0]}" == "*"*" /d/e/b.txt" ]]
    [[ "${lines[1]}" == "1 "*" /d/e/b.conflict-"*".txt" ]]
    ringctl conflicts keep /d/e/b.txt 1
    [ "$(cat "$MNT/d/e/b.txt")" = first ]
    [ "$(losers)" = "$(losers | grep /top)" ]
    [ "$(ls "$MNT/d/e")" = b.txt ]

    ringctl conflicts keep /top all
    [ -z "$(losers)" ]
    [ "$(ringctl get /top)" = second ]
    [ "$(cat "$MNT"/top.kept-*)" = first ]

    make_conflict /third
    ringctl conflicts keep /third winner
    [ "$(ringctl get /third)" = second ]
    [ -z "$(losers)" ]
}

@test "what cannot be kept or found says so by its exit code" {
    ringctl put /a one
    run ringctl conflicts show /missing
    [ "$status" -eq 3 ]
    run ringctl conflicts keep /a 1
    [ "$status" -eq 3 ]
    run ringctl conflicts keep /a
    [ "$status" -eq 2 ]
    run ringctl conflicts frobnicate
    [ "$status" -eq 2 ]
    run ringctl conflicts show /a
    [ "$status" -eq 0 ]
    [ -z "$(losers)" ]
}
