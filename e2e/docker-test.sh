#!/usr/bin/env bash
# Builds both images and starts each as a careful operator would: haproxyd read-only,
# without root, without capabilities; percona-haproxy as peer-list and Percona's
# entrypoint use it. Takes everything away again.
#
# The base images are pulled, or made by docker-bases.sh where that cannot be done.
# Percona's is a stand-in then, with its paths and Debian's haproxy, and it is said.
#
#   REPRODUCE=1 e2e/docker-test.sh   builds haproxyd twice without a cache, and compares
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
percona=$name-percona:test
proxy=$name-proxy
base=$(sed -n 's/^ARG GO_IMAGE=//p' Dockerfile)
work=$(mktemp -d)
made_base=
cleanup() {
  docker rm -fv "$name" "$proxy" >/dev/null 2>&1 || true
  docker image rm -f "$image" "$image-again" "$percona" >/dev/null 2>&1 || true
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
# build TARGET TAG [ARGUMENT...]
build() {
  local target=$1 tag=$2
  shift 2
  if ! docker build --target "$target" --build-arg GOPROXY="$(go env GOPROXY)" --build-arg VERSION=$version "$@" -t "$tag" . >"$work/build" 2>&1; then
    cat "$work/build" >&2
    fail "docker build --target $target"
  fi
}
say "building $image"
started=$SECONDS
build haproxyd "$image"
say "built haproxyd in $((SECONDS - started)) s, $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB"

if [ "${REPRODUCE:-}" = 1 ]; then
  # The image's own digest also covers when it was made, which the classic builder
  # puts into its configuration; the layers are what is compared.
  build haproxyd "$image-again" --no-cache
  one=$(docker image inspect -f '{{json .RootFS.Layers}}' "$image")
  two=$(docker image inspect -f '{{json .RootFS.Layers}}' "$image-again")
  [ "$one" = "$two" ] || fail "two builds differ: $one $two"
  say "built twice, the layers are the same: $one"
fi

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
docker rm -fv "$name" >/dev/null

# What it is made of is in it.
docker create --name "$name" "$image" >/dev/null
docker cp "$name:/usr/share/doc/haproxyd/sbom.json" "$work/sbom.json" >/dev/null || fail "the image has no sbom.json"
grep -q '"bomFormat": "CycloneDX"' "$work/sbom.json" || fail "sbom.json is not CycloneDX: $(head -c 200 "$work/sbom.json")"
grep -q 'pkg:golang/go.etcd.io/raft' "$work/sbom.json" || fail "sbom.json does not name etcd's raft"
owner=$(docker export "$name" | tar --numeric-owner -tv | awk '$6 == "var/lib/haproxyd/" || $6 == "usr/local/bin/haproxyd" || $6 == "var/" {print $6, $2}' | sort | tr '\n' ' ')
[ "$owner" = "usr/local/bin/haproxyd 0/0 var/ 0/0 var/lib/haproxyd/ 65532/65532 " ] || fail "owners: $owner"
say "sbom.json names $(grep -c '"purl": "pkg:golang' "$work/sbom.json") modules; only its own folder is the daemon's"

# The image for users of the predecessor and of older operators.
percona_base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
if ! docker image inspect "${percona_base#docker.io/}" >/dev/null 2>&1 && ! timeout 300 docker pull -q "$percona_base" >"$work/pull" 2>&1; then
  say "$percona_base cannot be pulled: what follows runs on a STAND-IN with its paths and Debian's haproxy"
  made_base=yes
  e2e/docker-bases.sh percona
fi
started=$SECONDS
build percona-haproxy "$percona" --build-arg BASE="${percona_base#docker.io/}"
say "built percona-haproxy in $((SECONDS - started)) s, $(($(docker image inspect -f '{{.Size}}' "$percona") / 1000000)) MB"

mkdir "$work/secret"
echo 2 >"$work/secret/HAPROXY_NUM"
# Seconds instead of ten, so that the test is short.
echo '--reload-window 2s --reload-wait 30s' >"$work/secret/HA_EXTRA_ARGS"
chmod -R a+rX "$work/secret"
docker run -d --name "$proxy" --hostname db-haproxy-0 --network none --cap-drop ALL --security-opt no-new-privileges \
  -v "$work/secret:/etc/mysql/haproxy-env-secret:ro" "$percona" >/dev/null
nodes() { for n in "$@"; do echo "db-pxc-$n.db-pxc.ns.svc.cluster.local"; done; }
list() { nodes "$@" | docker exec -i "$proxy" /usr/bin/add_pxc_nodes.sh 2>&1; }
workers() { docker exec "$proxy" sh -c "echo 'show proc' | socat stdio /etc/haproxy/pxc/haproxy-main.sock"; }
reloads() { workers | awk '$2 == "master" {print $3}'; }
deadline=$((SECONDS + 30))
until out=$(workers 2>&1) && grep -q ' worker ' <<<"$out"; do
  [ "$(docker inspect -f '{{.State.Running}}' "$proxy")" = true ] || fail "HAProxy did not start before the first list: $(docker logs "$proxy" 2>&1 | tail -n 20)"
  [ $SECONDS -lt $deadline ] || fail "HAProxy's master does not answer: $out"
  sleep 0.2
done
out=$(list 0 1) || fail "the first list: $out"
grep -q "HAProxy's new process is" <<<"$out" || fail "the first list reloads nothing: $out"
cfg=$(docker exec "$proxy" cat /etc/haproxy/pxc/haproxy.cfg)
for want in 'peer db-haproxy-0 0.0.0.0:10000' 'peer db-haproxy-1 ' 'server db-pxc-1 db-pxc-1.db-pxc.ns.svc.cluster.local:33062 id 2 ' 'bind :3309 accept-proxy'; do
  grep -qF "$want" <<<"$cfg" || fail "haproxy.cfg lacks '$want': $cfg"
done
if grep -q 'peer db-haproxy-2 ' <<<"$cfg"; then fail "HAPROXY_NUM is not honoured: $cfg"; fi
[ "$(reloads)" = 1 ] || fail "the first list: $(reloads) reloads"
for flap in "0" "1" "0 1"; do
  # shellcheck disable=SC2086 # a list of ordinals
  out=$(list $flap) || fail "a flap: $out"
done
[ "$(docker exec "$proxy" cat /etc/haproxy/pxc/haproxy.cfg)" = "$cfg" ] || fail "a flap changed haproxy.cfg"
[ "$(reloads)" = 1 ] || fail "a flap reloaded HAProxy"
out=$(list 0 1 2) || fail "a third node: $out"
[ "$(reloads)" = 2 ] || fail "a third node: $(reloads) reloads; $out"
if out=$(echo not-a-pod. | docker exec -i "$proxy" /usr/bin/add_pxc_nodes.sh 2>&1); then fail "a bad list is taken: $out"; fi
grep -q 'the configuration stays as it is' <<<"$out" || fail "a bad list: $out"
docker stop -t 20 "$proxy" >/dev/null
say "percona-haproxy: started without a list, took one through the secret's settings, 3 flaps changed nothing, a new node reloaded it once"
say "ok"
