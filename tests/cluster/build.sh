#!/usr/bin/env bash
# Builds the servers that the tests run against, pinned by go.mod and go.sum beside this file.
# Binaries are kept outside the work tree, in a folder named by what they were built from, so that each is
# built once a machine. S3SINK_TOOLS (a folder of ready binaries) overrides it: nothing is built then.
#
# usage: tests/cluster/build.sh [TOOL...]             build what is missing (default: every tool)
#        tests/cluster/build.sh --print-dir [TOOL...]  the same, then print the folder of the binaries
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

declare -A packages=( # tool → its Go package; each is a `tool` line of go.mod
    [versitygw]=github.com/versity/versitygw/cmd/versitygw
)

print_dir=false
if [ "${1:-}" = --print-dir ]; then
    print_dir=true
    shift
fi
tools=("$@")
[ ${#tools[@]} -gt 0 ] || mapfile -t tools < <(printf '%s\n' "${!packages[@]}" | sort)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/s3sink
key=$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -c1-16)
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

build() { # build TOOL: under a lock, since several test workers may ask at once
    local tool=$1 go
    [ -x "$bin/$tool" ] && return
    if [ -n "${S3SINK_TOOLS:-}" ]; then
        echo "S3SINK_TOOLS is $S3SINK_TOOLS, which holds no $tool" >&2
        return 1
    fi
    mkdir -p "$bin"
    (
        flock 9
        [ -x "$bin/$tool" ] && exit
        go=$(go_command "$(awk '$1 == "go" { print $2 }' "$here/go.mod")")
        echo "Building $tool into $bin (once a machine; some minutes)" >&2
        cd "$here"
        CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-mod=readonly -trimpath -buildvcs=false' GOWORK=off \
            "$go" build -o "$bin/.$tool.part" "${packages[$tool]}" >&2
        mv "$bin/.$tool.part" "$bin/$tool"
    ) 9>"$bin/.lock"
}

for tool in "${tools[@]}"; do
    if [ -z "${packages[$tool]:-}" ]; then
        echo "build.sh: no tool named $tool; there are: ${!packages[*]}" >&2
        exit 2
    fi
    build "$tool"
done
if $print_dir; then echo "$bin"; fi
