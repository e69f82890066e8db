package dbtest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Server is a MariaDB with its provider.
type Server struct{ Program, Provider string }

// InstalledServer is Debian's. The test is skipped where it is not installed.
func InstalledServer(tb testing.TB) Server {
	tb.Helper()
	return Server{Program: "mariadbd", Provider: debianGalera(tb)}
}

// UnpackedServer is the one that e2e/mariadb-server.sh unpacked, where root's tests must
// find it in a folder that other users may read. The test is skipped where there is none:
// tests do not download. The installed one makes its data folders.
func UnpackedServer(tb testing.TB) Server {
	tb.Helper()
	debianGalera(tb)
	cache, err := os.UserCacheDir()
	Must(tb, err)
	if os.Getuid() == 0 {
		cache = "/var/cache"
	}
	program := cmp.Or(os.Getenv("MARIADB_SERVER"), filepath.Join(cache, "haproxyd", "mariadb", "mariadbd"))
	if _, err := os.Stat(program); err != nil {
		tb.Skipf("no other MariaDB server: run e2e/mariadb-server.sh, or name one with MARIADB_SERVER (%v)", err)
	}
	return Server{Program: program, Provider: filepath.Join(filepath.Dir(program), "libgalera_smm.so")}
}

// databaseUser is whom Debian's packages run the server as.
const databaseUser = "mysql"

// giveAway makes a folder the database user's.
func giveAway(dir string) error {
	account, err := user.Lookup(databaseUser)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, -1)
}

// StartGalera starts a cluster of n nodes on loopback ports, with Galera's own timers.
// All nodes begin with the same data, so that a few write-sets are transferred and no more.
func StartGalera(tb testing.TB, server Server, n int) []*MariaDB {
	tb.Helper()
	dir, err := os.MkdirTemp("", "galera") // the path of a socket may have 107 bytes only
	Must(tb, err)
	tb.Cleanup(func() { Must(tb, os.RemoveAll(dir)) })
	template := filepath.Join(dir, "template")
	first := []string{"--no-defaults"}
	if os.Getuid() == 0 {
		// The script of the state transfer does not work as root.
		first = append(first, "--user="+databaseUser)
		Must(tb, giveAway(dir))
	}
	install(tb, template, first)

	nodes := make([]*MariaDB, n)
	group := make([]string, n)
	for i := range nodes {
		nodes[i] = &MariaDB{Address: FreeAddress(tb)}
		group[i] = FreeAddress(tb)
	}
	start := func(i int, data string, options ...string) {
		own := filepath.Join(dir, fmt.Sprint("node", i))
		all := append(slices.Clone(first), "--datadir="+data, "--pid-file="+own+".pid", "--wsrep-provider="+server.Provider,
			"--wsrep-cluster-address=gcomm://"+strings.Join(group, ","), "--wsrep-node-address="+group[i], "--wsrep-sst-method=rsync", "--wsrep-sst-receive-address="+FreeAddress(tb),
			"--wsrep-provider-options=gmcast.listen_addr=tcp://"+group[i]+";ist.recv_addr="+FreeAddress(tb)+";gcache.size=1M")
		nodes[i].start(tb, server.Program, own+".sock", own+".err", append(all, options...)...)
	}
	// One life before the others, in which the data become those of a cluster.
	start(0, template, "--wsrep-new-cluster")
	nodes[0].Do(tb, "SHUTDOWN")
	select {
	case <-nodes[0].dead:
	case <-time.After(time.Minute):
		tb.Fatal("the first node does not end")
	}
	for i := range nodes {
		data := filepath.Join(dir, fmt.Sprint("data", i))
		if out, err := exec.Command("cp", "-a", template, data).CombinedOutput(); err != nil {
			tb.Fatalf("copy the data: %v: %s", err, out)
		}
		var options []string
		if i == 0 {
			options = []string{"--wsrep-new-cluster"}
		}
		start(i, data, options...)
	}
	return nodes
}
