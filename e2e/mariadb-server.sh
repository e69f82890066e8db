#!/bin/sh
# Unpacks a MariaDB server with Galera beside the system, with its own libraries, for
# the tests that want another version than the installed one (control/galera/grants):
# DEST/mariadbd is a wrapper that starts it, DEST/libgalera_smm.so its provider.
#
#   usage: mariadb-server.sh [DEST] [SUITE]
#
# DEST is ${XDG_CACHE_HOME:-$HOME/.cache}/haproxyd/mariadb if it is not given, for root
# /var/cache/haproxyd/mariadb, which other users may read, as the databases' one has to:
# that is where the tests look (or MARIADB_SERVER names the wrapper). SUITE is Debian's sid.
# The packages come through apt from the mirror that this machine is configured with,
# into a private apt directory, as those of mysql-server.sh do: nothing is installed,
# no source list is touched. What is there already is kept.
set -u

cache=${XDG_CACHE_HOME:-$HOME/.cache}
[ "$(id -u)" != 0 ] || cache=/var/cache
dest=${1:-$cache/haproxyd/mariadb}
suite=${2:-sid}
mkdir -p "$dest" || exit 1
dest=$(cd "$dest" && pwd)
if [ -x "$dest/mariadbd" ] && [ -e "$dest/libgalera_smm.so" ] && "$dest/mariadbd" --no-defaults --version 2>/dev/null; then
	exit 0
fi

. "$(dirname "$0")/private-apt.sh"
mirror=$(debian_mirror) || exit 1

work=$(mktemp -d "$dest/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "mariadb-server: $1: $(first_error "$work")" >&2
	exit 1
}

update_suites "$work" "$mirror" "$suite" || fail "the mirror has no suite $suite"
# What the server loads and nothing else: its own packages, and libraries. mariadb-server
# has the scripts of the state transfers.
packages=$(server_packages "$work" 'mariadb-server(-core)?|galera-4' mariadb-server galera-4)
[ -n "$packages" ] || fail "no installable mariadb-server and galera-4 in $suite"
# shellcheck disable=SC2086 # a list of words
unpack "$work" $packages || fail "the download failed"

loader=$(find -L "$work/root" -name 'ld-linux*.so.*' | head -n 1)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || basename "$(dirname "$(find "$work/root" -path '*/lib/*-linux-gnu/libc.so.6' | head -n 1)")")
[ -n "$loader" ] || { echo "mariadb-server: no loader among $packages" >&2; exit 1; }
server=$(find "$work/root/usr" -path '*/sbin/mariadbd' -type f | head -n 1)
[ -n "$server" ] || { echo "mariadb-server: no mariadbd among $packages" >&2; exit 1; }
provider=$(find "$work/root" -name libgalera_smm.so | head -n 1)
[ -n "$provider" ] || { echo "mariadb-server: no libgalera_smm.so among $packages" >&2; exit 1; }
rm -rf "$dest/root"
mv "$work/root" "$dest/root"
loader=$dest/root${loader#"$work/root"} server=$dest/root${server#"$work/root"}
ln -sfn "$dest/root${provider#"$work/root"}" "$dest/libgalera_smm.so"
cat >"$dest/mariadbd" <<-WRAPPER
	#!/bin/sh
	# basedir and the rest are this folder's: the compiled-in ones are the system's.
	# Options that name files must come first, and stay first.
	first=
	case "\${1:-}" in --no-defaults | --defaults-file=*) first=\$1; shift ;; esac
	exec "$loader" --library-path "$dest/root/usr/lib/$triplet:$dest/root/lib/$triplet" \\
		"$server" \${first:+"\$first"} --basedir="$dest/root/usr" --lc-messages-dir="$dest/root/usr/share/mysql" \\
		--plugin-dir="$dest/root/usr/lib/mysql/plugin" --character-sets-dir="$dest/root/usr/share/mysql/charsets" "\$@"
WRAPPER
chmod +x "$dest/mariadbd"
"$dest/mariadbd" --no-defaults --version
