#!/usr/bin/env bash
# Builds each image twice without any cache, and compares: equal sources on an equal base give equal images.
# Takes what scripts/images.sh takes; needs buildah. usage: scripts/reproducible.sh [ingester|operator]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export BUILDER=${BUILDER:-buildah} NO_CACHE=1

if [ $# -eq 0 ]; then set -- ingester operator; fi
failed=0 ids=() tags=()
for package in "$@"; do
    for turn in first second; do
        tag=$(TAG=$turn-try scripts/images.sh "$package")
        # Of the configuration, which names every layer by the digest of its content.
        ids[${#ids[@]}]=$("$BUILDER" inspect --type image --format '{{.FromImageID}}' "$tag")
        tags[${#tags[@]}]=$tag
    done
    printf '%s %s\n' "$package" "${ids[@]: -2:1}" "$package" "${ids[@]: -1}"
    if [ "${ids[@]: -2:1}" != "${ids[@]: -1}" ]; then
        failed=1
        "$BUILDER" inspect --type image --format '{{range .OCIv1.RootFS.DiffIDs}}{{.}} {{end}}' "${tags[@]: -2}"
    fi
done
"$BUILDER" rmi "${tags[@]}" >/dev/null
exit "$failed"
