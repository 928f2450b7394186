#!/usr/bin/env bash
# Namespaces for a node, and their first process: with it ends all that runs on the node, as if its power went. What a
# machine has in memory is lost then: mounts, network devices, /run. DIRECTORY stays, as a disk does.
#
# usage: boot.sh DIRECTORY VOLUMES NAME ADDRESS BRIDGE ROUTER [RANGE=ADDRESS]...
#
# It runs where process 1 is that of the namespaces around it, on whose BRIDGE it puts the node. ROUTER is where packets
# go but those of a RANGE. VOLUMES is a folder that each node has its own of. DIRECTORY/pid: the first process, as seen
# from outside; written when all is there.
set -euo pipefail
directory=$1 volumes=$2 name=$3 address=$4 bridge=$5 router=$6

around() {
    nsenter --target=1 --net -- "$@"
}

case ${BOOT_STAGE:-begin} in
begin)
    BOOT_STAGE=network exec unshare --net -- "$0" "$@"
    ;;
network)
    around ip link delete "$name" 2>/dev/null || true # of the time before, if the kernel hasn't yet
    ip link add eth0 type veth peer name "$name" netns 1
    around ip link set "$name" master "$bridge" up
    ip link set lo up
    ip address add "$address/24" dev eth0
    ip link set eth0 up
    ip route add default via "$router"
    for route in "${@:7}"; do
        ip route add "${route%=*}" via "${route#*=}"
    done
    echo 1 >/proc/sys/net/ipv4/ip_forward
    BOOT_STAGE=mounts exec unshare --mount --pid --fork --propagation private --kill-child -- "$0" "$@"
    ;;
mounts)
    read -r pid _ </proc/self/stat
    mount -t proc proc /proc
    # A kubelet sets these for the whole machine. Here it finds them as it wants them, in files over the real ones.
    (cd "$directory/kernel" && find . -type f -exec mount --bind {} /proc/sys/{} \;)
    mount -t tmpfs run /run
    # A kubelet has files here whatever it is told.
    mkdir -p /var/lib/kubelet "$directory/kubelet"
    mount --bind "$directory/kubelet" /var/lib/kubelet
    mkdir -p "$directory/volumes" "$volumes"
    mount --bind "$directory/volumes" "$volumes"
    mount --make-rshared /
    echo "$pid" >"$directory/pid.new"
    mv "$directory/pid.new" "$directory/pid"
    sleep infinity & # while bash waits, it buries who lost their parents
    wait
    ;;
esac
