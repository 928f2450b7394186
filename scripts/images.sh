#!/usr/bin/env bash
# Builds the images of the ingester and the operator with buildah or docker, whichever is there.
#
# usage: scripts/images.sh [ingester|operator]...      default: both
#   BASE=image       an image with Python 3.11 or newer; default: as the Dockerfile says
#   RUNTIME=image    a smaller one with the same Python, for the last stage; default: BASE
#   REPOSITORY=name  default: localhost; the images are REPOSITORY/s3sink-ingester and REPOSITORY/s3sink-operator
#   TAG=tag          default: the version in pyproject.toml
#   CA=file          certificates to trust while building, where a proxy intercepts TLS
#   BUILDER=buildah|docker
#   NO_CACHE=1       build every layer anew
#   PUSH=1           push them to the registry; docker pushes SBOM and provenance with them
#   REVISION=commit  what the label org.opencontainers.image.revision says; default: that of the work tree
#   SOURCE_DATE_EPOCH=seconds   the time of everything in the images; default: that of the commit
#
# Equal sources on an equal base give equal images (buildah): see docs/images.md, and scripts/attest.sh for what is
# in them and what they were made from.
set -euo pipefail
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

builder=${BUILDER:-$(command -v buildah || command -v docker || true)}
if [ -z "$builder" ]; then
    echo "Neither buildah nor docker is on PATH. Install one of them, such as: sudo apt-get install buildah" >&2
    exit 1
fi
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

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
    [ -z "${NO_CACHE:-}" ] || options+=(--no-cache)
    case $(basename "$builder") in
        # Its history would name a build's own containers and volumes: they are left out, so that digests are equal.
        buildah) "$builder" build --layers --network host --timestamp "$SOURCE_DATE_EPOCH" "${options[@]}" . ;;
        # Only a registry can hold an SBOM and a provenance beside the image.
        *)
            local attested=(buildx build --push --attest type=sbom --attest type=provenance,mode=max)
            if [ -z "${PUSH:-}" ]; then attested=(build); fi
            DOCKER_BUILDKIT=1 "$builder" "${attested[@]}" "${options[@]}" .
            ;;
    esac >&2
    if [ -n "${PUSH:-}" ] && [ "$(basename "$builder")" = buildah ]; then "$builder" push "$tag" >&2; fi
    echo "$tag"
}

if [ $# -eq 0 ]; then set -- ingester operator; fi
for package in "$@"; do build "$package"; done
