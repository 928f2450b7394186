module s3sink.dev/tests/cluster/tools/prometheus

go 1.25.0

// Only its manifests are used: the custom resource definitions under example/prometheus-operator-crd.
require github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
