#!/bin/sh
# Unpacks a MySQL server beside the system, with its own libraries, for the tests
# that want a real one (control/galera): DEST/mysqld is a wrapper that starts it.
#
#   usage: mysql-server.sh [DEST] [SUITE]
#
# DEST is ${XDG_CACHE_HOME:-$HOME/.cache}/haproxyd/mysql if it is not given, which
# is where the tests look (or MYSQL_SERVER names the wrapper). SUITE is Debian's sid:
# stable has MariaDB only. The packages come through apt from the mirror that this
# machine is configured with, into a private apt directory, as those of
# haproxy-versions.sh do: nothing is installed, no source list is touched. What is
# there already is kept.
set -u

dest=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/haproxyd/mysql}
suite=${2:-sid}
mkdir -p "$dest" || exit 1
dest=$(cd "$dest" && pwd)
if [ -x "$dest/mysqld" ] && "$dest/mysqld" --no-defaults --version 2>/dev/null; then
	exit 0
fi

mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
	sed -n 's|^Debian ||p' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	# Before the first apt-get update no index is known: read the configured source.
	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		sed -n -e 's/^URIs: *//p' -e 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' |
		grep '/debian/\{0,1\}$' | head -n 1)
fi
if [ -z "$mirror" ]; then
	echo "mysql-server: no Debian mirror in this machine's apt sources: nothing to fetch" >&2
	exit 1
fi

work=$(mktemp -d "$dest/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# A private apt: own lists, own cache, and an empty dpkg status so that every
# library is fetched, whatever this machine has installed.
private_apt() {
	cmd=$1
	shift
	"$cmd" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$work/state" \
		-o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User=root -o APT::Install-Recommends=0 -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::Check-Valid-Until=false -o Acquire::Retries=2 \
		-o APT::Update::Post-Invoke-Success::= -o DPkg::Post-Invoke::= "$@"
}

fail() {
	echo "mysql-server: $1: $(grep '^E:' "$work/log" | head -n 1)" >&2
	exit 1
}

mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/root"
: >"$work/status"
option=
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] && option="[signed-by=$keyring] "
echo "deb $option$mirror $suite main" >"$work/sources.list"
if ! private_apt apt-get -q update >"$work/log" 2>&1 || grep -q '^E:' "$work/log"; then
	fail "the mirror has no suite $suite"
fi
# What the server loads and nothing else: its own package, and libraries.
packages=$(private_apt apt-get -s install mysql-server 2>"$work/log" |
	awk '/^Inst /{print $2}' | grep -E '^(mysql-server-core.*|lib[a-z0-9].*)$' | grep -v -E -- '-perl$')
[ -n "$packages" ] || fail "no installable mysql-server in $suite"
# shellcheck disable=SC2086 # a list of words
(cd "$work/debs" && private_apt apt-get -q download $packages) >"$work/log" 2>&1 || fail "the download failed"
for deb in "$work"/debs/*.deb; do
	dpkg-deb -x "$deb" "$work/root" || exit 1
done

loader=$(find -L "$work/root" -name 'ld-linux*.so.*' | head -n 1)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || basename "$(dirname "$(find "$work/root" -path '*/lib/*-linux-gnu/libc.so.6' | head -n 1)")")
[ -n "$loader" ] || { echo "mysql-server: no loader among $packages" >&2; exit 1; }
server=$(find "$work/root" -name mysqld -type f | head -n 1)
[ -n "$server" ] || { echo "mysql-server: no mysqld among $packages" >&2; exit 1; }
rm -rf "$dest/root"
mv "$work/root" "$dest/root"
loader=$dest/root${loader#"$work/root"} server=$dest/root${server#"$work/root"}
cat >"$dest/mysqld" <<-WRAPPER
	#!/bin/sh
	# basedir and the rest are this folder's: the compiled-in ones are the system's.
	first=
	case "\${1:-}" in --no-defaults) first=\$1; shift ;; esac
	exec "$loader" --library-path "$dest/root/usr/lib/$triplet:$dest/root/lib/$triplet:$dest/root/usr/lib/$triplet/private" \\
		"$server" \$first --basedir="$dest/root/usr" --lc-messages-dir="$dest/root/usr/share/mysql" \\
		--plugin-dir="$dest/root/usr/lib/mysql/plugin" --character-sets-dir="$dest/root/usr/share/mysql/charsets" \\
		--secure-file-priv=NULL "\$@"
WRAPPER
chmod +x "$dest/mysqld"
"$dest/mysqld" --no-defaults --version
