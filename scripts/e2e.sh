#!/usr/bin/env bash
# The node tier: pods of the real images on a real cluster. usage: scripts/e2e.sh [PYTEST-ARGUMENT]...
#
# With KUBECONFIG it is that cluster, which can pull INGESTER_IMAGE and OPERATOR_IMAGE and reach S3_ENDPOINT.
# Otherwise one is made on this machine, as root: a control plane and a node with containerd, in namespaces of their
# own, so that no packet leaves and every process, mount and device is gone at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python

if [ -n "${KUBECONFIG:-}" ]; then
    exec "$python" -m pytest tests/e2e "$@"
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "A node of one's own needs root. Without it, run the tests on a cluster that you have: KUBECONFIG=... make e2e" >&2
    exit 1
fi
scripts/system-packages.sh buildah containerd runc containernetworking-plugins debootstrap iptables
S3SINK_TOOLS=$(tests/cluster/build.sh --print-dir)
export S3SINK_TOOLS
directory=$(mktemp -d --tmpdir s3sink-e2e-XXXXXX)
# Out here nothing is mounted in it any more: removed from within, a volume's or a container's files would be followed.
trap 'rm -rf --one-file-system "$directory"; "$python" -m tests.rig.node.isolation' EXIT
"$python" -m tests.rig.node.images "$directory/images"
export S3SINK_E2E_DIRECTORY=$directory
unshare --net --mount --pid --fork --mount-proc --propagation private --kill-child \
    "$python" -m pytest tests/e2e "$@"
