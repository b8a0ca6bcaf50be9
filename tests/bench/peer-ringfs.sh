#!/bin/bash
# peer-ringfs.sh: ringfs with three nodes as one contender of a comparison of filesystems: start, stop, pids, mem, steps.
#
# For a harness with a peer-lib.sh (start|stop|pids|mem MNT; a fresh disk for each contender): put a link to this
# file beside it, or name it in PEER_LIB. The programs come from the build folder of the checkout this file is in,
# or from RINGFS_BUILD.
# shellcheck disable=SC2034 # the library reads it
PEER=ringfs
# shellcheck source=/dev/null
. "${PEER_LIB:-$(dirname "$0")/peer-lib.sh}"
build=${RINGFS_BUILD:-$(dirname "$(readlink -f "$0")")/../../build}
peer_steps() {
    echo "packages 0 (mount.sh installs them), processes 3 x ringnode + ringfs, commands 1 (mount.sh DIR), configuration files 0"
}
# shellcheck disable=SC2154 # S and MNT are the library's
peer_start() {
    local i addresses='' members=()
    for i in 1 2 3; do
        members+=(--member "$i=ipc://$S/n$i")
        addresses=${addresses:+$addresses,}ipc://$S/n$i
    done
    for i in 1 2 3; do
        bg node$i "$build/node/ringnode" --id $i --data "$S/d$i" --listen "ipc://$S/n$i" "${members[@]}"
    done
    for i in $(seq 100); do
        "$build/node/ringctl" --cluster "$addresses" --timeout 2 ls / >/dev/null 2>&1 && break
        sleep 0.1
    done
    bg mount "$build/fs/ringfs" -f "$addresses" "$MNT"
    wait_mount 20
}
peer_main "$@"
