#!/usr/bin/env bash
# The node tier: pods of the real images on a real cluster.
#
# usage: scripts/e2e.sh [PYTEST-ARGUMENT]...   run the tests
#        scripts/e2e.sh --shell [COMMAND]...   make the cluster and look around in it: kubectl and helm are on PATH
#
# With KUBECONFIG it is that cluster: tests/e2e/README.md says what it has to have. Otherwise one is made on this
# machine, as root: a control plane and two nodes with containerd, in namespaces of their own, so that no packet leaves
# and every process, mount and device is gone at the end.
set -euo pipefail
if [ "${1:-}" = --help ]; then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
run=("$python" -m pytest -o testpaths=tests/e2e "$@")

if [ -n "${KUBECONFIG:-}" ]; then
    S3SINK_TOOLS=$(tests/cluster/build.sh --print-dir kubectl helm)
    export S3SINK_TOOLS
    exec "${run[@]}"
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "A node of one's own needs root. Without it, run the tests on a cluster that you have: KUBECONFIG=... make e2e" >&2
    exit 1
fi
if [ "${1:-}" = --shell ]; then
    shift
    run=("${@:-bash}")
fi
scripts/system-packages.sh buildah containerd runc containernetworking-plugins debootstrap iptables xfsprogs
S3SINK_TOOLS=$(tests/cluster/build.sh --print-dir)
export S3SINK_TOOLS PATH=$S3SINK_TOOLS:$PATH
directory=$(mktemp -d --tmpdir s3sink-e2e-XXXXXX)
# Out here nothing is mounted in it any more: removed from within, a volume's or a container's files would be followed.
trap '"$python" -m tests.rig.node.isolation "$directory"; rm -rf --one-file-system "$directory"' EXIT
"$python" -m tests.rig.node.images "$directory/images"
export S3SINK_E2E_DIRECTORY=$directory
unshare --net --mount --pid --fork --mount-proc --propagation private --kill-child \
    "$python" -m tests.rig.node "$directory/images" "${run[@]}"
