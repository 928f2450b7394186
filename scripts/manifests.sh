#!/usr/bin/env bash
# Writes what is made from crds/ and the chart: the chart's copy of the CRD (a link would be
# lost in Flux's archives and in a copy of charts/ alone), deploy/operator.yaml for those who don't use Helm, and what
# the tests expect of the chart with other values.
# usage: scripts/manifests.sh HELM [FOLDER]   FOLDER: where to write instead of the work tree
set -euo pipefail
cd "$(dirname "$0")/.."
helm=$1
out=${2:-.}
namespace=s3sink-system

template() { # template FLAG...: the version stands in for a cluster's
    "$helm" template s3sink charts/s3sink --namespace "$namespace" --kube-version 1.30.0 "$@"
}

mkdir -p "$out/charts/s3sink/files" "$out/deploy"
cp crds/s3sinks.s3sink.dev.yaml "$out/charts/s3sink/files/"
{
    cat <<MANIFEST
# The operator for the whole cluster, made from charts/s3sink by \`make manifests\`. The CRD is beside it:
#   kubectl apply --server-side -f crds/ -f deploy/operator.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
MANIFEST
    # Labels that say Helm does this are for those who do it with Helm.
    template --set crds.install=false --skip-tests |
        sed -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d'
} >"$out/deploy/operator.yaml"

for values in tests/helm/golden/*/values.yaml; do
    mkdir -p "$out/$(dirname "$values")"
    template --values "$values" >"$out/$(dirname "$values")/manifests.yaml"
done
