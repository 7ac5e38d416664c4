#!/bin/sh
# Publishes an image that a job has built, once: publish-image.sh FILE NAME REVISION
#
# Prints the image's id. The same revision again is the same image, so a job may be run again, and goes on where it was. A broken
# network and a service that restarts are survived; a job that is killed leaves its bytes to the next one. KEEP of the older
# images with this name are kept, 5 if not set.
#
# DARKROOM_ENDPOINT and DARKROOM_TOKEN say where and as whom; the token needs the role `member`.
# Exit codes are those of darkroom: 5 refused, 6 unreachable, 7 the image will not come, … Debian: coreutils.
set -eu

file=$1 name=$2 revision=$3
case $revision in *[!A-Za-z0-9._-]* | '') echo "not a revision: $revision" >&2; exit 2 ;; esac

# One that is there already needs nothing more.
id=$(darkroom images "$name" --state active --property "revision=$revision" --limit 1 --format '{id}')
if [ -z "$id" ]; then
  # Stated, the digest is checked by the service: what is published is what was built.
  sha256=$(sha256sum -- "$file" | cut -d ' ' -f 1)
  id=$(darkroom upload "$file" --name "$name" --property "revision=$revision" --tag ci --sha256 "$sha256" \
    --idle-timeout 2h --quiet --format '{id}')
fi
printf '%s\n' "$id"

# The oldest go; one that is protected stays.
darkroom images "$name" --state active --tag ci --sort newest --limit 1000 --format '{name} {id}' |
  awk -v name="$name" -v keep="${KEEP:-5}" '$1 == name && ++seen > keep { print $2 }' |
  while read -r old; do
    darkroom delete --yes "$old" >&2 || echo "kept: $old" >&2
  done
