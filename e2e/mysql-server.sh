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

. "$(dirname "$0")/private-apt.sh"
mirror=$(debian_mirror) || exit 1

work=$(mktemp -d "$dest/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "mysql-server: $1: $(first_error "$work")" >&2
	exit 1
}

update_suites "$work" "$mirror" "$suite" || fail "the mirror has no suite $suite"
# What the server loads and nothing else: its own package, and libraries.
packages=$(server_packages "$work" 'mysql-server-core.*' mysql-server)
[ -n "$packages" ] || fail "no installable mysql-server in $suite"
# shellcheck disable=SC2086 # a list of words
unpack "$work" $packages || fail "the download failed"

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
