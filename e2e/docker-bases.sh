#!/usr/bin/env bash
# Makes the base images that the Dockerfile names, where no registry can be
# reached: Debian's own packages, and this machine's Go toolchain beside them.
#
#   e2e/docker-bases.sh           makes the one for building, unless one of that name is there
#   e2e/docker-bases.sh percona   makes a stand-in for Percona's HAProxy image: Debian's haproxy
#                                 and the paths of Percona's image, nothing of its content
#   e2e/docker-bases.sh remove    removes them, if they were made here
#
# The images carry a label, so that they are never taken for the published ones.
set -euo pipefail
cd "$(dirname "$0")/.."

label=haproxy-peers.made-by
image=$(sed -n 's/^ARG GO_IMAGE=//p' Dockerfile)
percona=$(sed -n 's/^ARG BASE=//p' Dockerfile)
percona=${percona#docker.io/}
suite=${image##*-}    # golang:1.26-bookworm: Debian's release is in the name
wanted=${image#*:}    # and so is
wanted=${wanted%%-*}  # Go's version

say() { printf 'docker-bases: %s\n' "$*" >&2; }

if [ "${1:-}" = remove ]; then
  for name in "$image" "$percona"; do
    made=$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$name" 2>/dev/null) || continue
    [ -z "$made" ] || docker image rm "$name" >/dev/null
  done
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack SUITE ARGUMENT...: a Debian in $work/root.tar.
unpack() {
  local release=$1
  shift
  if ! mmdebstrap --quiet --variant=minbase "$@" "$release" "$work/root.tar" 2>"$work/log"; then
    tail -n 20 "$work/log" >&2
    say "Debian $release could not be unpacked (the last lines are above)"
    exit 1
  fi
}

if [ "${1:-}" = percona ]; then
  if docker image inspect "$percona" >/dev/null 2>&1; then
    say "$percona is there"
    exit 0
  fi
  say "making a stand-in for $percona from Debian $suite"
  # haproxy/Dockerfile and haproxy/dockerdir of percona/percona-docker tell the paths and the user.
  unpack "$suite" --include=haproxy,socat,hostname
  mkdir -p "$work/build"
  cat >"$work/build/entrypoint.sh" <<'STUB'
#!/bin/sh
# Stand-in for Percona's entrypoint: the same files and sockets.
[ -f /etc/haproxy/pxc/haproxy.cfg ] || cp /etc/haproxy/haproxy.cfg /etc/haproxy/pxc/
exec haproxy -W -db -f /etc/haproxy/haproxy-global.cfg -f /etc/haproxy/pxc/haproxy.cfg \
  -p /etc/haproxy/pxc/haproxy.pid -S /etc/haproxy/pxc/haproxy-main.sock
STUB
  printf '#!/bin/sh\necho stand-in >&2\nexit 1\n' >"$work/build/stub"
  printf '#!/bin/sh\nexit 0\n' >"$work/build/check_pxc.sh"
  printf '# stand-in\n' >"$work/build/haproxy.cfg"
  chmod 755 "$work/build/entrypoint.sh" "$work/build/stub" "$work/build/check_pxc.sh"
  docker import "$work/root.tar" "$label/debian-haproxy" >/dev/null
  cat >"$work/build/Dockerfile" <<DOCKERFILE
FROM $label/debian-haproxy
RUN groupadd -g 1001 mysql && useradd -u 1001 -r -g 1001 mysql && mkdir -p /etc/haproxy/pxc /etc/haproxy-custom
COPY haproxy.cfg /etc/haproxy/haproxy.cfg
COPY haproxy.cfg /etc/haproxy/haproxy-global.cfg
COPY stub /usr/bin/add_pxc_nodes.sh
COPY check_pxc.sh /usr/local/bin/check_pxc.sh
COPY entrypoint.sh /entrypoint.sh
RUN chown -R 1001:1001 /run /etc/haproxy /etc/haproxy-custom
USER 1001
VOLUME ["/etc/haproxy/pxc"]
LABEL $label=e2e/docker-bases.sh $label.stand-in=percona/haproxy
ENTRYPOINT ["/entrypoint.sh"]
DOCKERFILE
  if ! docker build -t "$percona" "$work/build" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    say "the stand-in could not be built (the last lines are above)"
    exit 1
  fi
  docker image rm --no-prune "$label/debian-haproxy" >/dev/null
  say "made a stand-in for $percona"
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
# This machine's own certificates go along: it may reach the modules through a
# proxy whose authority Debian's package does not know.
# shellcheck disable=SC2016 # mmdebstrap's own $1, the new root
unpack "$suite" --include=ca-certificates \
  --customize-hook='mkdir -p "$1/usr/local/go"' \
  --customize-hook="sync-in '$(go env GOROOT)' /usr/local/go" \
  --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt'
docker import \
  --change "LABEL $label=e2e/docker-bases.sh" \
  --change 'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV GOPATH=/go GOTOOLCHAIN=local' \
  --change 'WORKDIR /go' \
  --change 'CMD ["bash"]' \
  "$work/root.tar" "$image" >/dev/null
say "made $image"
