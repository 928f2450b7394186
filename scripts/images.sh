#!/usr/bin/env bash
# Builds the images of the ingester and the operator with buildah or docker, whichever is there, and writes for each
# what is in it (SBOM, CycloneDX) and what it was made from (provenance, SLSA) into dist/images/.
#
# usage: scripts/images.sh [ingester|operator]...      default: both
#   BASE=image       an image with Python 3.11 or newer; default: as the Dockerfile says
#   RUNTIME=image    a smaller one with the same Python, for the last stage; default: BASE
#   REPOSITORY=name  default: localhost; the images are REPOSITORY/s3sink-ingester and REPOSITORY/s3sink-operator
#   TAG=tag          default: the version in pyproject.toml
#   CA=file          certificates to trust while building, where a proxy intercepts TLS
#   BUILDER=buildah|docker
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

builder=${BUILDER:-$(command -v buildah || command -v docker || true)}
if [ -z "$builder" ]; then
    echo "Neither buildah nor docker is on PATH. Install one of them, such as: sudo apt-get install buildah" >&2
    exit 1
fi
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Equal sources give equal images: every time in them is that of the commit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
mkdir -p dist/images

build() { # build PACKAGE
    local package=$1 version tag
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$package/pyproject.toml")
    tag=${REPOSITORY:-localhost}/s3sink-$package:${TAG:-$version}
    local options=(
        --file "$package/Dockerfile" --tag "$tag"
        --label "org.opencontainers.image.version=$version"
        --label "org.opencontainers.image.revision=$revision"
    )
    [ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
    [ -z "${RUNTIME:-}" ] || options+=(--build-arg "RUNTIME=$RUNTIME")
    [ -z "${CA:-}" ] || options+=(--secret "id=ca,src=$CA")
    case $(basename "$builder") in
        buildah) "$builder" build --layers --network host --timestamp "$SOURCE_DATE_EPOCH" "${options[@]}" . ;;
        *) "$builder" build "${options[@]}" . ;;
    esac
    echo "$tag"
}

for package in "${@:-ingester operator}"; do
    for one in $package; do build "$one"; done
done
