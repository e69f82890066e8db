#!/bin/bash
# In place of the script of Percona's HAProxy image: peer-list runs it with the ready database pods on standard input, one
# per line, each time when they change. haproxyctl writes the configuration and reloads HAProxy if there is a new one.
#
# Settings are files in HAPROXY_ENV_SECRET (the mounted haproxy-env-secret) or variables of the same name:
#   HAPROXY_NUM        how many HAProxies there are (3): the peers, POD-0 to POD-(N-1)
#   HAPROXY_DOMAIN     what follows a pod's name in DNS (default: as in this pod's own name in /etc/hosts)
#   HA_CHECK_COMMAND   the check (/usr/local/bin/check_pxc.sh, or the operator's where it is there)
#   HA_CHECK_INTER     the time between two checks (10s)
#   HA_EXTRA_ARGS      more arguments of haproxyctl config peer-list
# A command that fails leaves the configuration as it was, says why, and ends with its status: peer-list then ends too,
# Kubernetes starts it again, and the list comes again.
set -o errexit -o nounset -o pipefail

secret=${HAPROXY_ENV_SECRET:-/etc/mysql/haproxy-env-secret}
pxc=${HAPROXY_PXC_DIR:-/etc/haproxy/pxc}

log() { printf '{"time":"%s", "message":"%s"}\n' "$(date +'%d/%b/%Y:%H:%M:%S.%3N')" "${1//\"/\'}"; }

# setting NAME DEFAULT: the secret's file, else the variable, else the default.
setting() {
  local value=
  if [ -f "$secret/$1" ]; then
    value=$(tr -d '\r\n' <"$secret/$1")
  fi
  value=${value:-${!1:-}}
  printf '%s' "${value:-$2}"
}

host=${HOSTNAME:?}
number=$(setting HAPROXY_NUM 3)
if ! [[ $number =~ ^[1-9][0-9]?$ ]]; then
  log "HAPROXY_NUM is '$number', not a number from 1 to 99: the configuration stays as it is"
  exit 2
fi
full=
read -r _ full _ < <(getent hosts "$host" || true) || true
if [[ $full != "$host".* ]]; then
  full=
fi
domain=$(setting HAPROXY_DOMAIN "${full#"$host"}")
domain=${domain#.}
base=${host%-*}
if [[ $host =~ -([0-9]+)$ ]] && [ "${BASH_REMATCH[1]}" -ge "$number" ]; then
  log "this is $host, and HAPROXY_NUM is $number: its peers must have this HAProxy too"
  number=$((BASH_REMATCH[1] + 1))
fi

# address NAME: where the peer is. HAProxy does not start while the name of a peer does not resolve, so the file gets
# addresses. One that is in it stays, though its pod has another now: a pod that starts looks the others up and connects to
# them, and one connection serves both ways. For one that is not there yet the file has a port where nobody listens.
address() {
  local known ip
  known=$(sed -n "s/^  peer $1 \([^ ]*\)\$/\1/p" "$pxc/haproxy.cfg" 2>/dev/null | head -n 1)
  if [ -n "$known" ]; then
    printf '%s' "$known"
  elif read -r ip _ < <(getent hosts "$1${domain:+.$domain}") && [ -n "$ip" ]; then
    if [[ $ip == *:* ]]; then ip="[$ip]"; fi
    printf '%s:10000' "$ip"
  else
    printf '127.0.0.1:9'
  fi
}

proxies=
for ((i = 0; i < number; i++)); do
  name=$base-$i
  if [ "$name" = "$host" ]; then
    at=127.0.0.1:10000 # --peers-bind stands in its place
  else
    at=$(address "$name")
  fi
  proxies+=${proxies:+,}$name=$at
done
if ! [[ $host =~ -[0-9]+$ ]]; then
  proxies+=,$host=127.0.0.1:10000
fi

check=/usr/local/bin/check_pxc.sh
if [ -x /opt/percona/haproxy_check_pxc.sh ]; then
  check=/opt/percona/haproxy_check_pxc.sh
fi
read -r -a extra <<<"$(setting HA_EXTRA_ARGS '')"

list=$(cat)
# The check takes a donor where only one node is left, and reads here how many there are.
grep -c . <<<"$list" >"$pxc/AVAILABLE_NODES" || true

status=0
out=$(haproxyctl config peer-list \
  --proxies "$proxies" --local "$host" --peers-bind 0.0.0.0 \
  --out "$pxc/haproxy.cfg" --force --master-socket "$pxc/haproxy-main.sock" \
  --stats-socket "$pxc/haproxy.sock" --stats-socket-mode 600 \
  --check external --check-command "$(setting HA_CHECK_COMMAND "$check")" --check-inter "$(setting HA_CHECK_INTER 10s)" \
  --check-rise 1 --check-fall 2 --maxconn 2048 --proxy-bind :3309 \
  "${extra[@]}" 2>&1 <<<"$list") || status=$?
while IFS= read -r line; do log "$line"; done <<<"$out"
if [ $status -ne 0 ]; then
  log "haproxyctl ended with $status: the configuration stays as it is"
fi
exit $status
