#!/usr/bin/env bash
# Builds the servers that the tests run against, pinned by the go.mod and go.sum under tools/.
# Binaries are kept outside the work tree, in a folder a module named by what they were built from, so that each is
# built once a machine; one more folder has links to all of them. Binaries that you have are taken instead: those of Kubernetes from KUBEBUILDER_ASSETS,
# any from S3SINK_TOOLS (nothing is built then).
#
# usage: tests/cluster/build.sh [TOOL...]             build what is missing (default: every tool)
#        tests/cluster/build.sh --print-dir [TOOL...]  the same, then print the folder of the binaries
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

declare -A packages=( # tool → module under tools/, and the package in it; each is a `tool` line of its go.mod
    [versitygw]="s3 github.com/versity/versitygw/cmd/versitygw"
    [etcd]="kubernetes go.etcd.io/etcd/server/v3"
    [helm]="kubernetes helm.sh/helm/v4/cmd/helm"
    [kube-apiserver]="kubernetes k8s.io/kubernetes/cmd/kube-apiserver"
    [kube-controller-manager]="kubernetes k8s.io/kubernetes/cmd/kube-controller-manager"
    [kube-scheduler]="kubernetes k8s.io/kubernetes/cmd/kube-scheduler"
    [kubectl]="kubernetes k8s.io/kubernetes/cmd/kubectl"
    [kube-proxy]="kubernetes k8s.io/kubernetes/cmd/kube-proxy"
    [kubelet]="kubernetes k8s.io/kubernetes/cmd/kubelet"
    [local-path-provisioner]="provisioner github.com/rancher/local-path-provisioner"
)
# Manifests that a module brings: folder in the cache → module under tools/, and the folder in its source.
prometheus_crds="prometheus github.com/prometheus-operator/prometheus-operator example/prometheus-operator-crd"

print_dir=false
if [ "${1:-}" = --print-dir ]; then
    print_dir=true
    shift
fi
tools=("$@")
[ ${#tools[@]} -gt 0 ] || mapfile -t tools < <(printf '%s\n' "${!packages[@]}" prometheus-crds | sort)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/s3sink
key=$(cat "$here"/tools/*/go.{mod,sum} | sha256sum | cut -c1-16)
bin=${S3SINK_TOOLS:-$cache/tools-$key}

go_command() { # the Go on PATH if it is new enough, else the pinned one from requirements/bootstrap-go.lock
    local wanted=$1 venv=$cache/go-$(sha256sum <"$root/requirements/bootstrap-go.lock" | cut -c1-16) found
    if found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) &&
        [ "$(printf '%s\n' "$wanted" "${found#go}" | sort -V | head -n 1)" = "$wanted" ]; then
        command -v go
        return
    fi
    if [ ! -x "$venv/bin/go" ]; then
        local uv
        uv=$("$root/scripts/uv.sh")
        "$uv" venv --quiet --clear "$venv" >&2
        "$uv" pip install --quiet --python "$venv" --require-hashes -r "$root/requirements/bootstrap-go.lock" >&2
    fi
    echo "$venv/bin/go"
}

version_flags() { # what a release build would say of itself; clients (kubectl, Helm) read the server's version
    local version
    version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' go.mod)
    [ -n "$version" ] || return 0
    local minor=${version#v1.} package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf ' -X %s.%s' "$package" "gitVersion=$version" "$package" gitMajor=1 \
            "$package" "gitMinor=${minor%%.*}" "$package" gitTreeState=clean
    done
}

build() { # build TOOL: under a lock, since several test workers may ask at once
    local tool=$1 module package folder built
    [ -e "$bin/$tool" ] && return
    if [ -n "${S3SINK_TOOLS:-}" ]; then
        echo "S3SINK_TOOLS is $S3SINK_TOOLS, which holds no $tool" >&2
        return 1
    fi
    mkdir -p "$bin"
    (
        flock 9
        [ -e "$bin/$tool" ] && exit
        if [ "$tool" = prometheus-crds ]; then
            read -r module package folder <<<"$prometheus_crds"
        else
            read -r module package <<<"${packages[$tool]}"
        fi
        if [ "$module" = kubernetes ] && [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$tool" ]; then
            exit # whoever starts it looks there first
        fi
        cd "$here/tools/$module"
        built=$cache/built/$module-$(cat go.mod go.sum | sha256sum | cut -c1-16)
        if [ ! -e "$built/$tool" ]; then
            mkdir -p "$built"
            make_tool "$tool" "$package" "$built/.$tool.part" "${folder:-}"
            mv "$built/.$tool.part" "$built/$tool"
        fi
        ln -sfn "$built/$tool" "$bin/$tool"
    ) 9>"$bin/.lock"
}

make_tool() { # make_tool TOOL PACKAGE INTO [FOLDER], in the module's folder
    local go
    go=$(go_command "$(awk '$1 == "go" { print $2 }' go.mod)")
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
    rm -rf "$3"
    if [ -n "$4" ]; then
        "$go" mod download "$2"
        cp -r "$("$go" list -m -f '{{.Dir}}' "$2")/$4" "$3"
        chmod -R u+w "$3" # a module's files are read-only
    else
        echo "Building $1 (once a machine; some minutes)" >&2
        "$go" build -ldflags "-s -w$(version_flags)" -o "$3" "$2" >&2
    fi
}

for tool in "${tools[@]}"; do
    if [ -z "${packages[$tool]:-}" ] && [ "$tool" != prometheus-crds ]; then
        echo "build.sh: no tool named $tool; there are: ${!packages[*]} prometheus-crds" >&2
        exit 2
    fi
    build "$tool"
done
if $print_dir; then echo "$bin"; fi
