#!/usr/bin/env bash
# Builds the image and starts it as a careful operator would: read-only, without
# root, without capabilities. Takes everything away again.
#
# The base image is pulled, or made by docker-bases.sh where that cannot be done.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'docker-test: %s\n' "$*"; }
fail() {
  printf 'docker-test: FAILED: %s\n' "$*" >&2
  exit 1
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers: start dockerd, or set DOCKER_HOST"

name=haproxyd-image-test-$$
image=$name:test
base=$(sed -n 's/^ARG GO_IMAGE=//p' Dockerfile)
work=$(mktemp -d)
made_base=
cleanup() {
  docker rm -fv "$name" >/dev/null 2>&1 || true
  docker image rm -f "$image" >/dev/null 2>&1 || true
  if [ -n "$made_base" ]; then
    # The build stage that was left is one of the images without a name.
    docker image prune -f --filter label=haproxy-peers.made-by >/dev/null || true
    e2e/docker-bases.sh remove || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

if ! docker image inspect "$base" >/dev/null 2>&1 && ! timeout 300 docker pull -q "$base" >"$work/pull" 2>&1; then
  say "$base cannot be pulled ($(tail -n 1 "$work/pull"))"
  made_base=yes
  e2e/docker-bases.sh
fi

version=v0.0.0-image.$$
say "building $image"
if ! docker build --build-arg GOPROXY="$(go env GOPROXY)" --build-arg VERSION=$version -t "$image" . >"$work/build" 2>&1; then
  cat "$work/build" >&2
  fail "docker build"
fi
say "built, $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB"

# Loopback is all that it gets.
safe=(--read-only --cap-drop ALL --security-opt no-new-privileges --network none)

user=$(docker image inspect -f '{{.Config.User}}' "$image")
[[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "the image's user is '$user', not a number other than 0"

# The answers are kept before they are looked at: with pipefail, a grep that has
# seen enough would make the writer's broken pipe the result.
out=$(docker run --rm "${safe[@]}" "$image" --help 2>&1) || fail "haproxyd --help: $out"
grep -q -- --haproxy-cfg <<<"$out" || fail "haproxyd --help does not name --haproxy-cfg: $out"
out=$(docker run --rm "${safe[@]}" --user 1001:1001 --entrypoint haproxyctl "$image" version 2>&1) || fail "haproxyctl version: $out"
grep -qF "$version" <<<"$out" || fail "haproxyctl version does not say $version: $out"
say "runs as $user and as 1001:1001, read-only, without capabilities"

# A daemon whose HAProxy is not there yet: it has to wait for it, and to answer.
cat >"$work/haproxy.cfg" <<'CFG'
global
  stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
peers mypeers
  peer px0 127.0.0.1:10000
frontend galera-in
  bind 127.0.0.1:3306
  default_backend galera-nodes
backend galera-nodes
  stick-table type integer size 100k peers mypeers
  stick on int(1)
  server pxc-0 127.0.0.2:3306 id 1 check on-marked-down shutdown-sessions
  server pxc-1 127.0.0.3:3306 id 2 check backup on-marked-down shutdown-sessions
CFG
chmod 0755 "$work"
chmod 0644 "$work/haproxy.cfg"
docker create --name "$name" "${safe[@]}" -v "$work/haproxy.cfg:/etc/haproxy/haproxy.cfg:ro" "$image" \
  --haproxy-cfg /etc/haproxy/haproxy.cfg --name px0 \
  --gossip-bind 127.0.0.1:7946 --gossip-advertise 127.0.0.1:7946 --http-bind 127.0.0.1:9102 >/dev/null
docker start "$name" >/dev/null

deadline=$((SECONDS + 30))
until out=$(docker exec "$name" haproxyctl members 2>&1); do
  [ "$(docker inspect -f '{{.State.Running}}' "$name")" = true ] || fail "haproxyd ended: $(docker logs "$name" 2>&1 | tail -n 20)"
  [ $SECONDS -lt $deadline ] || fail "haproxyctl members in the container: $out; haproxyd's log: $(docker logs "$name" 2>&1 | tail -n 20)"
  sleep 0.2
done
grep -q px0 <<<"$out" || fail "haproxyctl members does not name px0: $out"

docker stop -t 20 "$name" >/dev/null
code=$(docker inspect -f '{{.State.ExitCode}}' "$name")
[ "$code" = 0 ] || fail "haproxyd ended with $code after SIGTERM: $(docker logs "$name" 2>&1 | tail -n 20)"
say "haproxyd started, answered haproxyctl, and stopped cleanly"
say "ok"
