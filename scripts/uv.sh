#!/usr/bin/env bash
# Prints the path of a uv that runs: the one on PATH, else the pinned one, installed once into .cache/uv.
# usage: scripts/uv.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
home=$PWD/.cache/uv

if uv --version >/dev/null 2>&1; then
    command -v uv
    exit
fi
if ! "$home/bin/uv" --version >/dev/null 2>&1; then
    rm -rf "$home"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then # Debian ships python3 without them
        scripts/system-packages.sh python3-venv >&2
    fi
    "$python" -m venv "$home" >&2
    "$home/bin/python" -m pip install --quiet --require-hashes -r requirements/bootstrap-uv.lock >&2
fi
echo "$home/bin/uv"
