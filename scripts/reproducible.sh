#!/usr/bin/env bash
# Builds each image of the commit twice without any cache, and compares: equal sources on an equal base give equal
# images. Takes the variables that scripts/images.sh takes; needs buildah and git.
#
# usage: scripts/reproducible.sh [ingester|operator]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export BUILDER=buildah NO_CACHE=1
REVISION=${REVISION:-$(git rev-parse HEAD)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export REVISION SOURCE_DATE_EPOCH

if [ $# -eq 0 ]; then set -- ingester operator; fi
# Not of the work tree, which somebody may be editing.
sources=$(mktemp -d --tmpdir s3sink-sources-XXXXXX)
trap 'rm -rf "$sources"' EXIT
git archive HEAD | tar --extract --directory "$sources"

inspect() { buildah inspect --type image --format "$1" "$2"; }

failed=false
for package in "$@"; do
    for turn in first second; do TAG=$turn-try "$sources/scripts/images.sh" "$package" >/dev/null; done
    first=${REPOSITORY:-localhost}/s3sink-$package:first-try second=${REPOSITORY:-localhost}/s3sink-$package:second-try
    # Of the configuration, which names every layer by the digest of its content.
    if [ "$(inspect '{{.FromImageID}}' "$first")" = "$(inspect '{{.FromImageID}}' "$second")" ]; then
        echo "$package: both are $(inspect '{{.FromImageID}}' "$first")"
    else
        failed=true
        echo "$package: they differ. Their layers:"
        for one in "$first" "$second"; do inspect '{{range .OCIv1.RootFS.DiffIDs}}{{.}} {{end}}' "$one"; done
    fi
    buildah rmi "$first" "$second" >/dev/null
done
if $failed; then exit 1; fi
