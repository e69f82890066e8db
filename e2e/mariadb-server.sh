#!/bin/sh
# Unpacks a MariaDB server with Galera beside the system, with its own libraries, for
# the tests that want another version than the installed one (control/galera/grants):
# DEST/mariadbd is a wrapper that starts it, DEST/libgalera_smm.so its provider.
#
#   usage: mariadb-server.sh [DEST] [SUITE]
#
# DEST is ${XDG_CACHE_HOME:-$HOME/.cache}/haproxyd/mariadb if it is not given, which
# is where the tests look (or MARIADB_SERVER names the wrapper). SUITE is Debian's sid.
# The packages come through apt from the mirror that this machine is configured with,
# into a private apt directory, as those of mysql-server.sh do: nothing is installed,
# no source list is touched. What is there already is kept.
set -u

dest=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/haproxyd/mariadb}
suite=${2:-sid}
mkdir -p "$dest" || exit 1
dest=$(cd "$dest" && pwd)
if [ -x "$dest/mariadbd" ] && [ -e "$dest/libgalera_smm.so" ] && "$dest/mariadbd" --no-defaults --version 2>/dev/null; then
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
	echo "mariadb-server: no Debian mirror in this machine's apt sources: nothing to fetch" >&2
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
	echo "mariadb-server: $1: $(grep '^E:' "$work/log" | head -n 1)" >&2
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
# What the server loads and nothing else: its own packages, and libraries. mariadb-server
# has the scripts of the state transfers.
packages=$(private_apt apt-get -s install mariadb-server galera-4 2>"$work/log" |
	awk '/^Inst /{print $2}' | grep -E '^(mariadb-server(-core)?|galera-4|lib[a-z0-9].*)$' | grep -v -E -- '-perl$')
[ -n "$packages" ] || fail "no installable mariadb-server and galera-4 in $suite"
# shellcheck disable=SC2086 # a list of words
(cd "$work/debs" && private_apt apt-get -q download $packages) >"$work/log" 2>&1 || fail "the download failed"
for deb in "$work"/debs/*.deb; do
	dpkg-deb -x "$deb" "$work/root" || exit 1
done

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
