#!/usr/bin/env bash
# Makes the base image that the Dockerfile names, where no registry can be
# reached: Debian's own packages, and this machine's Go toolchain beside them.
#
#   e2e/docker-bases.sh           makes it, unless an image of that name is there
#   e2e/docker-bases.sh remove    removes it, if it was made here
#
# The image carries a label, so that it is never taken for the published one.
set -euo pipefail
cd "$(dirname "$0")/.."

label=haproxy-peers.made-by
image=$(sed -n 's/^ARG GO_IMAGE=//p' Dockerfile)
suite=${image##*-}    # golang:1.26-bookworm: Debian's release is in the name
wanted=${image#*:}    # and so is
wanted=${wanted%%-*}  # Go's version

say() { printf 'docker-bases: %s\n' "$*" >&2; }

if [ "${1:-}" = remove ]; then
  made=$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null) || exit 0
  [ -z "$made" ] || docker image rm "$image" >/dev/null
  exit 0
fi

if docker image inspect "$image" >/dev/null 2>&1; then
  say "$image is there"
  exit 0
fi

version=$(go env GOVERSION)
case $version in
  "go$wanted" | "go$wanted".*) ;;
  *)
    say "$image is to hold Go $wanted, this machine has $version"
    exit 1
    ;;
esac

say "making $image from Debian $suite and $version"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# This machine's own certificates go along: it may reach the modules through a
# proxy whose authority Debian's package does not know.
# shellcheck disable=SC2016 # mmdebstrap's own $1, the new root
if ! mmdebstrap --quiet --variant=minbase --include=ca-certificates \
  --customize-hook='mkdir -p "$1/usr/local/go"' \
  --customize-hook="sync-in '$(go env GOROOT)' /usr/local/go" \
  --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
  "$suite" "$work/root.tar" 2>"$work/log"; then
  tail -n 20 "$work/log" >&2
  say "Debian $suite could not be unpacked (the last lines are above)"
  exit 1
fi
docker import \
  --change "LABEL $label=e2e/docker-bases.sh" \
  --change 'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV GOPATH=/go GOTOOLCHAIN=local' \
  --change 'WORKDIR /go' \
  --change 'CMD ["bash"]' \
  "$work/root.tar" "$image" >/dev/null
say "made $image"
