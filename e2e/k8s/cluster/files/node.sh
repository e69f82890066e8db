# Makes a node's own folders, inside the new namespaces, and then holds them. $1 is the folder of what it keeps.
set -e
keep=$1 name=$2
hostname "$name"
mkdir -p "$keep/cgroup"
mount --rbind /sys/fs/cgroup "$keep/cgroup"
mount --make-rprivate "$keep/cgroup"
# A sysfs that shows this network namespace, with the same hierarchies of cgroups.
mount -t sysfs sysfs /sys
mount --rbind "$keep/cgroup" /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/containerd /run/lock
while read -r folder dir; do
  mkdir -p "$keep/$folder" "$dir"
  mount --bind "$keep/$folder" "$dir"
done <"$keep/folders"
mount --make-rshared /
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
touch "$keep/made"
exec sleep infinity
