// Command galera is the entry point of the tests' database image: it prepares a member of a Galera cluster that is a
// pod of a StatefulSet, decides whether the member makes the cluster or joins it, and becomes mariadbd.
//
// "galera ready" is the readiness probe: it succeeds while the member is synced and in the primary component.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	dataDir = "/var/lib/mysql"
	runDir  = "/run/mysqld"
	socket  = runDir + "/mysqld.sock"
	program = "/usr/sbin/mariadbd"
)

// member is what the pod is told by its environment.
type member struct {
	// Set and Service are the names of the StatefulSet and of its headless service; Size is how many members it has.
	Set, Service string
	Size         int
	// Ordinal is the pod's, IP its address.
	Ordinal  int
	IP       string
	Password string
}

func (m member) name(ordinal int) string { return fmt.Sprintf("%s-%d", m.Set, ordinal) }

// host is a name under which every member finds another one.
func (m member) host(ordinal int) string { return m.name(ordinal) + "." + m.Service }

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	log.SetPrefix("galera: ")
	if len(os.Args) == 2 && os.Args[1] == "ready" {
		if err := ready(); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := start(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func readMember() (member, error) {
	pod, err := os.Hostname()
	if err != nil {
		return member{}, err
	}
	i := strings.LastIndex(pod, "-")
	ordinal, err := strconv.Atoi(pod[i+1:])
	if i < 0 || err != nil {
		return member{}, fmt.Errorf("the host name %q is not that of a StatefulSet's pod", pod)
	}
	m := member{
		Set: pod[:i], Ordinal: ordinal, Service: os.Getenv("GALERA_SERVICE"), IP: os.Getenv("POD_IP"),
		Password: os.Getenv("GALERA_PASSWORD"),
	}
	m.Size, err = strconv.Atoi(os.Getenv("GALERA_SIZE"))
	if err != nil || m.Size < 1 {
		return m, fmt.Errorf("GALERA_SIZE=%q: want the number of members", os.Getenv("GALERA_SIZE"))
	}
	if m.Service == "" || m.IP == "" || m.Password == "" {
		return m, errors.New("want GALERA_SERVICE (the headless service), POD_IP and GALERA_PASSWORD")
	}
	return m, nil
}

// start returns only when it fails: else this process is the database.
func start(ctx context.Context) error {
	m, err := readMember()
	if err != nil {
		return err
	}
	position, err := readPosition(ctx)
	if err != nil {
		return err
	}
	log.Printf("%s at %s has %s", m.name(m.Ordinal), m.IP, position)
	makesCluster, err := m.decide(ctx, position)
	if err != nil {
		return err
	}
	args := m.arguments()
	if makesCluster {
		if position.Empty {
			if err := m.install(ctx); err != nil {
				return err
			}
		}
		if err := allowBootstrap(); err != nil {
			return err
		}
		args = append(args, "--wsrep-new-cluster")
	}
	log.Printf("starting the database; it makes the cluster: %v", makesCluster)
	return syscall.Exec(program, args, os.Environ())
}

// arguments is the command line of the database. No option file is read.
func (m member) arguments() []string {
	var members []string
	for i := range m.Size {
		members = append(members, m.host(i))
	}
	return []string{
		program, "--no-defaults", "--datadir=" + dataDir, "--socket=" + socket, "--pid-file=" + runDir + "/mysqld.pid",
		"--bind-address=0.0.0.0", "--port=3306", "--skip-name-resolve",
		// Clients see in the greeting where a connection has landed.
		"--version=" + serverVersion() + "-" + m.name(m.Ordinal),
		"--max-connections=500", "--max-connect-errors=1000000", "--userstat=ON",
		// A crash of a process loses nothing with 2, and the tests cut no power.
		"--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
		"--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M", "--performance-schema=OFF",
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-name=" + m.Set,
		"--wsrep-cluster-address=gcomm://" + strings.Join(members, ","),
		"--wsrep-node-name=" + m.name(m.Ordinal), "--wsrep-node-address=" + m.IP,
		"--wsrep-sst-method=rsync", "--wsrep-slave-threads=2",
		// A silent member is suspected after 2 s and out after 5 s, as in the tests without Kubernetes.
		"--wsrep-provider-options=gcache.size=64M;gcache.page_size=16M;evs.keepalive_period=PT0.2S;" +
			"evs.inactive_check_period=PT0.2S;evs.join_retrans_period=PT0.2S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S",
	}
}

// serverVersion is the database's own ("mariadbd  Ver 10.11.11-MariaDB for debian-linux-gnu ...").
func serverVersion() string {
	out, err := exec.Command(program, "--no-defaults", "--version").Output()
	if err != nil {
		log.Printf("no version: %v", err)
		return "10.11.0-MariaDB"
	}
	_, after, _ := strings.Cut(string(out), " Ver ")
	version, _, _ := strings.Cut(after, " ")
	return version
}

// ready is true while the database is synced in the primary component (wsrep_ready is ON then, and for a donor).
func ready() error {
	out, err := exec.Command("mariadb", "--no-defaults", "--socket="+socket, "--user=monitor",
		"--password="+os.Getenv("GALERA_PASSWORD"), "--connect-timeout=2", "-BNe",
		"SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='WSREP_READY'").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	if got := strings.TrimSpace(string(out)); got != "ON" {
		return fmt.Errorf("wsrep_ready is %s", got)
	}
	return nil
}

func stateFile() string { return filepath.Join(dataDir, "grastate.dat") }
