package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// groupPort is Galera's own: a member that answers there runs.
	groupPort = "4567"
	// decidePort is where a member that has not started its database yet tells its position.
	decidePort = "4569"
)

// position is how much of the history a member has on its disk.
type position struct {
	// Empty: there is no database yet.
	Empty bool
	UUID  string
	Seqno int64
}

func (p position) String() string {
	if p.Empty {
		return "no database"
	}
	return fmt.Sprintf("a database at %s:%d", p.UUID, p.Seqno)
}

// outranks reports whether a member that starts first with p loses less than one with other. Equal ones do not.
func (p position) outranks(other position) bool {
	if p.Empty != other.Empty {
		return other.Empty
	}
	return p.Seqno > other.Seqno
}

// decide returns true for the one member that makes the cluster. A cluster is made only when every member of the set
// has told that it runs no database, by the one with the most history, of equals the lowest ordinal; so two members
// never make one each, whatever part of the others they reach. As soon as any member's database answers, decide
// returns false: join.
func (m member) decide(ctx context.Context, own position) (bool, error) {
	listener, err := net.Listen("tcp", ":"+decidePort)
	if err != nil {
		return false, err
	}
	// The port is open until this process becomes the database.
	go tell(listener, own)
	for last := ""; ; {
		known := map[int]position{m.Ordinal: own}
		for i := range m.Size {
			if i == m.Ordinal {
				continue
			}
			if answers(m.host(i), groupPort) {
				log.Printf("%s runs: joining", m.host(i))
				return false, nil
			}
			if p, err := ask(m.host(i)); err == nil {
				known[i] = p
			}
		}
		if len(known) == m.Size {
			if first := choose(known); first == m.Ordinal {
				return true, nil
			}
		}
		if now := fmt.Sprintf("waiting; %d of %d members have told their position", len(known), m.Size); now != last {
			last = now
			log.Print(now)
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// choose names the ordinal of who makes the cluster.
func choose(known map[int]position) int {
	best := -1
	for ordinal, p := range known {
		if best < 0 || p.outranks(known[best]) || (!known[best].outranks(p) && ordinal < best) {
			best = ordinal
		}
	}
	return best
}

func tell(listener net.Listener, own position) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_ = json.NewEncoder(conn).Encode(own)
		_ = conn.Close()
	}
}

func ask(host string) (position, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, decidePort), time.Second)
	if err != nil {
		return position{}, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	var p position
	return p, json.NewDecoder(conn).Decode(&p)
}

func answers(host, port string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

var recovered = regexp.MustCompile(`WSREP: Recovered position: ([0-9a-f-]+):(-?\d+)`)

// readPosition reads the position from the disk. After a crash grastate.dat does not have it (-1), and the database
// finds it in InnoDB's own files.
func readPosition(ctx context.Context) (position, error) {
	if _, err := os.Stat(dataDir + "/mysql"); errors.Is(err, fs.ErrNotExist) {
		return position{Empty: true}, nil
	}
	state, err := os.ReadFile(stateFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return position{}, err
	}
	p := position{Seqno: -1}
	for _, line := range strings.Split(string(state), "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "uuid":
			p.UUID = value
		case "seqno":
			if p.Seqno, err = strconv.ParseInt(value, 10, 64); err != nil {
				return p, fmt.Errorf("%s: seqno: %w", stateFile(), err)
			}
		}
	}
	if p.Seqno >= 0 {
		return p, nil
	}
	out, err := exec.CommandContext(ctx, program, "--no-defaults", "--datadir="+dataDir, "--wsrep-recover",
		"--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--socket="+runDir+"/recover.sock",
		"--skip-networking", "--log-error=/dev/stderr").CombinedOutput()
	found := recovered.FindSubmatch(out)
	if found == nil {
		// A state transfer that was cut short leaves such a folder: it has nothing that anybody could want.
		log.Printf("no position can be recovered (%v): %s", err, out)
		return p, nil
	}
	p.UUID = string(found[1])
	p.Seqno, err = strconv.ParseInt(string(found[2]), 10, 64)
	return p, err
}

// allowBootstrap clears what would keep the chosen member from making the cluster: Galera's own note that this member
// was not the last one, and the membership it would wait for.
func allowBootstrap() error {
	if err := os.Remove(dataDir + "/gvwstate.dat"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	state, err := os.ReadFile(stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(stateFile(), []byte(strings.Replace(string(state), "safe_to_bootstrap: 0", "safe_to_bootstrap: 1", 1)), 0o640)
}
