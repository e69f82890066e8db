#!/usr/bin/env bash
# Installs what the tests and the demo need and this machine lacks, from Debian's
# packages. Says nothing when nothing is missing.
#
#   e2e/install-deps.sh [docker|manifests|k8s|e2e]  docker: also what the image test needs;
#                                                   manifests: also promtool;
#                                                   k8s: also what the Kubernetes tests need;
#                                                   e2e: also what only the full suite needs
#
# Nothing is started and nothing that runs is stopped or restarted: the scenarios
# run their own processes in network namespaces of their own.
set -euo pipefail

# What is looked for (a command, or a file), and the package that brings it.
needs=(
  haproxy                            haproxy
  mariadbd                           mariadb-server
  /usr/lib/galera/libgalera_smm.so   galera-4
  rsync                              rsync           # Galera's state transfer
  lsof                               lsof            # the same
  mariadb-backup                     mariadb-backup  # another one
  socat                              socat           # the same
  ip                                 iproute2
  ss                                 iproute2
  tc                                 iproute2
  iptables                           iptables
  sysctl                             procps
  gcc                                gcc             # go test -race
  /usr/include/stdlib.h              libc6-dev       # the same
  /etc/ssl/certs/ca-certificates.crt ca-certificates # Go modules
)
if [ "${1:-}" = docker ]; then
  needs+=(
    dockerd                          docker.io
    mmdebstrap                       mmdebstrap
  )
  # Debian 13 has the client in a package of its own, Debian 12 in docker.io.
  command -v docker >/dev/null || ! apt-cache show docker-cli >/dev/null 2>&1 || needs+=(docker docker-cli)
fi
if [ "${1:-}" = manifests ]; then
  needs+=(promtool                   prometheus)     # tests the alerts
fi
if [ "${1:-}" = e2e ]; then
  needs+=(garbd                      galera-arbitrator-4
          chromium                   chromium)       # the page
fi
if [ "${1:-}" = k8s ]; then
  needs+=(
    containerd                       containerd
    runc                             runc
    /usr/lib/cni/bridge              containernetworking-plugins
    mmdebstrap                       mmdebstrap
    nft                              nftables
    conntrack                        conntrack
    unshare                          util-linux
    nsenter                          util-linux
    /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring # mmdebstrap, on other systems than Debian
  )
fi

say() { printf 'install-deps: %s\n' "$*" >&2; }

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=()
miss() { [[ " ${missing[*]} " == *" $1 "* ]] || missing+=("$1"); }
for ((i = 0; i < ${#needs[@]}; i += 2)); do
  probe=${needs[i]} package=${needs[i + 1]}
  case $probe in
    /*) [ -e "$probe" ] || miss "$package" ;;
    *) command -v "$probe" >/dev/null || miss "$package" ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  say "missing: ${missing[*]} (names of Debian's packages); install them, there is no apt-get here to do it"
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  say "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
  exit 1
fi

work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
policy_written=
restore() {
  if [ -n "$policy_written" ]; then
    rm -f "$policy"
    [ ! -e "$policy.before-install-deps" ] || mv "$policy.before-install-deps" "$policy"
  fi
  rm -rf "$work"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# Debian starts a service when its package is installed, unless policy-rc.d
# answers 101 (Debian Policy, "invoke-rc.d"). One that says so already stays.
denied=0
[ ! -x "$policy" ] || "$policy" mariadb start >/dev/null 2>&1 || denied=$?
if [ "$denied" != 101 ]; then
  [ ! -e "$policy" ] || mv "$policy" "$policy.before-install-deps"
  policy_written=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
fi

install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "${missing[@]}" \
    >>"$work/log" 2>&1 </dev/null
}

say "installing ${missing[*]}"
# The package lists are fetched only when those at hand do not do: a list that
# is missing or stale shows in the first attempt.
if ! install; then
  apt-get update -qq -o DPkg::Lock::Timeout=300 >>"$work/log" 2>&1 </dev/null || true
  if ! install; then
    tail -n 40 "$work/log" >&2
    say "apt-get could not install ${missing[*]} (its last lines are above)"
    exit 1
  fi
fi

# Nor do they start at the next boot: a machine that only runs tests shall not
# serve a database because of it.
if command -v systemctl >/dev/null; then
  for package in "${missing[@]}"; do
    case $package in
      haproxy) systemctl disable haproxy.service >>"$work/log" 2>&1 || true ;;
      containerd) systemctl disable containerd.service >>"$work/log" 2>&1 || true ;;
      mariadb-server) systemctl disable mariadb.service >>"$work/log" 2>&1 || true ;;
    esac
  done
fi
