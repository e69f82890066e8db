package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Users of the databases. Each may come from anywhere.
const (
	// AppUser is the load's user at the proxies.
	AppUser = "app"
	// DirectUser is the load's user for connections straight to a node, so that nodes count the two apart.
	DirectUser = "direct"
	// ProbeUser is the daemons' user. It has PROCESS, which drains need; reading status and variables needs nothing,
	// so a scenario may REVOKE it. Reset does not give it back.
	ProbeUser = "probe"
	// MonitorUser has PROCESS, for readings that need the processlist and open transactions.
	MonitorUser = "monitor"
	// Password is every user's password; SetPassword changes it.
	Password = "lab"
)

const (
	// commitsTable takes the load's commits.
	commitsTable = "lab.commits"
	// lockedTable is for sessions that lock a table: no load uses it.
	lockedTable = "lab.locked"
	// ClusterName is wsrep_cluster_name.
	ClusterName = "lab"
)

var schema = []string{
	"CREATE DATABASE lab",
	"CREATE TABLE " + commitsTable + ` (run VARCHAR(16) NOT NULL, proxy VARCHAR(16) NOT NULL, client INT NOT NULL,
		seq BIGINT NOT NULL, node VARCHAR(16) NOT NULL, PRIMARY KEY (run, proxy, client, seq)) ENGINE=InnoDB`,
	"CREATE TABLE " + lockedTable + " (id INT PRIMARY KEY) ENGINE=InnoDB",
	"CREATE USER '" + AppUser + "'@'%' IDENTIFIED BY '" + Password + "'",
	"CREATE USER '" + DirectUser + "'@'%' IDENTIFIED BY '" + Password + "'",
	"CREATE USER '" + ProbeUser + "'@'%' IDENTIFIED BY '" + Password + "'",
	"CREATE USER '" + MonitorUser + "'@'%' IDENTIFIED BY '" + Password + "'",
	"GRANT ALL ON lab.* TO '" + AppUser + "'@'%'",
	"GRANT ALL ON lab.* TO '" + DirectUser + "'@'%'",
	"GRANT PROCESS ON *.* TO '" + ProbeUser + "'@'%'",
	"GRANT PROCESS ON *.* TO '" + MonitorUser + "'@'%'",
}

// Timings of Galera's group communication (EVS), see Config.StockPeriods and FastFloor.
const (
	stockPeriods = "evs.keepalive_period=PT0.5S"
	lowPeriods   = "evs.keepalive_period=PT0.1S;evs.inactive_check_period=PT0.1S;evs.join_retrans_period=PT0.1S"
	normalSilent = "evs.inactive_timeout=PT5S"
	normalSusp   = "evs.suspect_timeout=PT2S"
	fastSilent   = "evs.inactive_timeout=PT1.5S"
	fastSusp     = "evs.suspect_timeout=PT0.5S"
)

// runDir is where the node has its socket and its temporary files.
func (n *Node) runDir() string { return filepath.Join(n.lab.Dir, n.Name+".run") }

// databaseUser runs the databases: rsync's state transfer does not work as root.
const databaseUser = "mysql"

// findUser looks the databases' user up.
func (l *Lab) findUser() error {
	account, err := user.Lookup(databaseUser)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return err
	}
	l.mysql = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// ownFolder makes a folder for the databases' user.
func (l *Lab) ownFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, int(l.mysql.Uid), int(l.mysql.Gid))
}

// options is the nodes' option file. It stands in for the machine's own, whose settings play no part: the scripts of
// the state transfers, and mariabackup, read the file that the server was given, and would else read the machine's.
func (l *Lab) options() string { return filepath.Join(l.Dir, "my.cnf") }

// optionFile is what cannot stand in the command line: mariabackup's words in its data folder instead of the machine's
// log, and a size that the script would hand on to mariabackup, which does not know it (10.11).
const optionFile = "[sst]\nsst-syslog=-1\n[mysqld]\ninnodb-buffer-pool-size=24M\n"

// timings are the provider options for the configured timings.
func (c Config) timings() string {
	switch {
	case c.GaleraDefaults:
		return ""
	case c.StockPeriods:
		return strings.Join([]string{stockPeriods, normalSilent, normalSusp}, ";")
	default:
		return strings.Join([]string{lowPeriods, normalSilent, normalSusp}, ";")
	}
}

// arguments is the node's command line.
func (n *Node) arguments(dataDir string) []string {
	var members []string
	for _, other := range n.lab.DB {
		members = append(members, other.IP)
	}
	return []string{
		n.lab.cfg.mariadbd(), "--defaults-file=" + n.lab.options(),
		"--datadir=" + dataDir, "--socket=" + n.Socket, "--tmpdir=" + n.runDir(), "--pid-file=" + n.Socket + ".pid",
		"--bind-address=0.0.0.0", fmt.Sprintf("--port=%d", MySQLPort), "--skip-name-resolve",
		// The node's name ends the version: clients see in the greeting where a connection has landed.
		"--version=" + n.lab.version + "-" + n.Name, "--userstat=ON",
		fmt.Sprintf("--max-connections=%d", n.lab.cfg.MaxConnections), "--max-connect-errors=1000000",
		"--back-log=512", "--thread-cache-size=32",
		// A crash of a process loses nothing with 2 (the log is written at commit, only not synced to the disk).
		"--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M",
		"--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M", "--performance-schema=OFF",
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider=" + n.lab.cfg.provider(), "--wsrep-cluster-name=" + ClusterName,
		"--wsrep-cluster-address=gcomm://" + strings.Join(members, ","),
		"--wsrep-node-name=" + n.Name, "--wsrep-node-address=" + n.IP,
		// What mariabackup logs in with on the donor, through its socket.
		"--wsrep-sst-method=rsync", "--wsrep-sst-auth=root:", "--wsrep-slave-threads=2",
		"--wsrep-provider-options=gcache.size=64M;gcache.page_size=8M;" + n.lab.cfg.timings(),
	}
}

func (l *Lab) template() string { return filepath.Join(l.Dir, "template") }

// makeTemplate makes one data folder with users and schema, which then is every node's: nodes that start from the
// same position of the same history join by a few write-sets instead of a full copy each.
func (l *Lab) makeTemplate(ctx context.Context) error {
	first := l.DB[0]
	err := errors.Join(l.readVersion(ctx), l.findUser(), os.WriteFile(l.options(), []byte(optionFile), 0o644))
	if err != nil {
		return err
	}
	_, err = first.Run(ctx, "mariadb-install-db", "--no-defaults", "--user="+databaseUser, "--datadir="+l.template(),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if err != nil {
		return err
	}
	dataDir := first.DataDir
	first.DataDir = l.template()
	defer func() { first.DataDir = dataDir }()
	if err := first.launch("--wsrep-new-cluster"); err != nil {
		return err
	}
	if err := first.WaitSynced(ctx); err != nil {
		return err
	}
	for _, statement := range schema {
		if err := first.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := first.Stop(); err != nil {
		return err
	}
	// The ring buffer would be copied for nothing.
	return os.Remove(filepath.Join(l.template(), "galera.cache"))
}

// readVersion learns the databases' version from the binary ("mariadbd  Ver 10.11.19-MariaDB for debian-linux-gnu ...").
func (l *Lab) readVersion(ctx context.Context) error {
	result, err := l.DB[0].Run(ctx, l.cfg.mariadbd(), "--no-defaults", "--version")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(result.Stdout, " Ver ")
	l.version, _, _ = strings.Cut(after, " ")
	if l.version == "" {
		return fmt.Errorf("no version in %q", result.Stdout)
	}
	return nil
}

// startCluster makes all nodes from the template and returns when all are synced.
func (l *Lab) startCluster(ctx context.Context) error {
	l.setFast(false)
	err := each(l.DB, func(n *Node) error {
		n.Kill9()
		if err := os.RemoveAll(n.DataDir); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "cp", "-a", "--sparse=always", l.template(), n.DataDir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("copy the template for %s: %w: %s", n.Name, err, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.DB[0].launch("--wsrep-new-cluster"); err != nil {
		return err
	}
	if err := l.DB[0].WaitSynced(ctx); err != nil {
		return err
	}
	err = each(l.DB[1:], func(n *Node) error { return n.launch() })
	if err != nil {
		return err
	}
	return l.WaitSynced(ctx)
}

// WaitSynced waits until every node is synced and sees all others.
func (l *Lab) WaitSynced(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return each(l.DB, func(n *Node) error {
		err := n.WaitSynced(ctx)
		if err == nil {
			err = n.WaitClusterSize(ctx, len(l.DB))
		}
		if err != nil {
			cancel() // the others would wait for it in vain
		}
		return err
	})
}

// recoverPosition asks a node that crashed where its data stand, as Debian's and Percona's start scripts do: without
// it the node would need a full copy. Empty for a node that was shut down in order, which knows by itself.
func (n *Node) recoverPosition(ctx context.Context) (string, error) {
	state, err := os.ReadFile(filepath.Join(n.DataDir, "grastate.dat"))
	if err != nil || !bytes.Contains(state, []byte("seqno:   -1")) {
		return "", nil // no state: Galera makes a full copy
	}
	args := append(n.arguments(n.DataDir), "--wsrep-recover", "--skip-networking")
	result, err := n.command(ctx, n.lab.mysql, "", args[0], args[1:]...)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(strings.NewReader(result.Stderr + result.Stdout))
	for lines.Scan() {
		if _, position, ok := strings.Cut(lines.Text(), "Recovered position: "); ok {
			return strings.TrimSpace(position), nil
		}
	}
	return "", nil // the data are of no use: a full copy again
}

// FastFloor lowers the time after which Galera gives up on a silent node from 2 s to 0.5 s on every running node, so
// that an outage shows what the proxies add. All nodes must be synced. Not with Config.StockPeriods.
func (l *Lab) FastFloor(ctx context.Context) error {
	if l.cfg.StockPeriods || l.cfg.GaleraDefaults {
		return errors.New("FastFloor needs the low periods: leave Config.StockPeriods and GaleraDefaults off")
	}
	if err := l.WaitSynced(ctx); err != nil {
		return err
	}
	l.setFast(true)
	// suspect_timeout must stay below inactive_timeout at every moment.
	return l.setProvider(ctx, fastSusp, fastSilent)
}

// NormalFloor undoes FastFloor on every node that answers. It does nothing if the floor is normal.
func (l *Lab) NormalFloor(ctx context.Context) error {
	l.mu.Lock()
	fast := l.fast
	l.mu.Unlock()
	if !fast {
		return nil
	}
	if err := l.setProvider(ctx, normalSilent, normalSusp); err != nil {
		return err
	}
	l.setFast(false)
	return nil
}

func (l *Lab) setFast(fast bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fast = fast
}

func (l *Lab) setProvider(ctx context.Context, options ...string) error {
	return each(l.DB, func(n *Node) error {
		if !n.Running() || n.isPaused() {
			return nil
		}
		for _, option := range options {
			if err := n.Exec(ctx, "SET GLOBAL wsrep_provider_options = '"+option+"'"); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetPassword changes a user's password on the whole cluster, through the first node that lets it.
func (l *Lab) SetPassword(ctx context.Context, user, password string) error {
	quote := strings.NewReplacer("'", "''", `\`, `\\`)
	statement := "ALTER USER '" + quote.Replace(user) + "'@'%' IDENTIFIED BY '" + quote.Replace(password) + "'"
	var errs []error
	for _, n := range l.DB {
		if n.isPaused() || !n.Running() {
			continue
		}
		err := n.Exec(ctx, statement)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, errNoneSynced)...)
}

var errNoneSynced = errors.New("no node is synced")
