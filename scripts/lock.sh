#!/usr/bin/env bash
# Resolves every pin again. usage: scripts/lock.sh UV [uv pip compile's options, such as --upgrade]
# dev.lock comes first and constrains the images' locks, so that what is tested is what is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$1
shift

compile() { # compile LOCK SOURCE...
    local lock=requirements/$1.lock
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --output-file "$lock" "${upgrade[@]}" "$@"
}

upgrade=("$@")
compile dev ingester/pyproject.toml operator/pyproject.toml --group pyproject.toml:dev
compile ingester ingester/pyproject.toml --constraint requirements/dev.lock
compile operator operator/pyproject.toml --constraint requirements/dev.lock
compile build --group pyproject.toml:build --constraint requirements/dev.lock
compile bootstrap-uv --group pyproject.toml:uv
compile bootstrap-go --group pyproject.toml:go
compile syft --group pyproject.toml:syft
