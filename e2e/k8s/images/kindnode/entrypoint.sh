#!/bin/sh
# The first process of a kind node: what systemd and the kubelet need before they start.
set -eu
mount --make-rshared /
# A container that is not wholly privileged has them read-only.
for dir in /sys /sys/fs/cgroup /sys/fs/cgroup/*/; do
  ! mountpoint -q "$dir" || mount -o remount,bind,rw "$dir" || echo "$dir stays as it is"
done
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  echo "detected cgroup v2"
else
  # kind waits for this line.
  echo "detected cgroup v1"
  # The kubelet's root, in which kind's configuration puts all pods.
  for hierarchy in /sys/fs/cgroup/*/; do
    mkdir -p "$hierarchy/kubelet"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -f "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/kubelet/$file"
    done
  done
fi
: >/etc/machine-id
export container=docker
exec "$@"
