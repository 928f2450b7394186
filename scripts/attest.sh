#!/usr/bin/env bash
# Says of images that scripts/images.sh has built with buildah what is in them (an SBOM: CycloneDX, Python and Debian
# packages, by syft) and what they were made from (provenance: an in-toto statement with SLSA's predicate, unsigned).
# docker's buildx writes both beside the image itself.
#
# usage: [BASE=...] [REPOSITORY=...] [TAG=...] scripts/attest.sh [ingester|operator]...    with what they were built with
#   writes dist/images/s3sink-PACKAGE.{oci.tar,cdx.json,intoto.json}; prints name, digest and size in bytes
set -euo pipefail
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

syft_command() { # syft on PATH, else the pinned one, installed once a machine
    if command -v syft; then return; fi
    local lock=requirements/syft.lock uv venv
    venv=${XDG_CACHE_HOME:-$HOME/.cache}/s3sink/syft-$(sha256sum <"$lock" | cut -c1-16)
    if [ ! -x "$venv/bin/syft" ]; then
        uv=$(scripts/uv.sh)
        "$uv" venv --quiet --clear "$venv" >&2
        "$uv" pip install --quiet --python "$venv" --require-hashes -r "$lock" >&2
    fi
    echo "$venv/bin/syft"
}

syft=$(syft_command)
mkdir -p dist/images
if [ $# -eq 0 ]; then set -- ingester operator; fi
for package in "$@"; do
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$package/pyproject.toml")
    image=${REPOSITORY:-localhost}/s3sink-$package:${TAG:-$version}
    file=dist/images/s3sink-$package
    rm -f "$file.oci.tar"
    buildah push --quiet "$image" "oci-archive:$file.oci.tar:$image"
    digest=$(tar --extract --to-stdout --file "$file.oci.tar" index.json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["manifests"][0]["digest"])')
    "$syft" scan --quiet --source-name "$image" --source-version "$digest" \
        --output "cyclonedx-json=$file.cdx.json" "oci-archive:$file.oci.tar"
    python3 scripts/provenance.py "$package" "$image" "$digest" >"$file.intoto.json"
    echo "$image $digest $(stat --format %s "$file.oci.tar")"
done
