package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Method is how a node that comes back gets what it lacks.
type Method string

// The methods. A full copy is made of a node whose disk is lost.
const (
	// RSync is a full copy by rsync: the donor takes no commit while it lasts.
	RSync Method = "rsync"
	// MariaBackup is a full copy by mariabackup: the donor takes no commit for a moment at its end only.
	MariaBackup Method = "mariabackup"
	// Incremental (IST) is the write-sets that the node has missed, from the donor's memory. The donor is one all the
	// same, for as long as its script runs that says that no copy is needed.
	Incremental Method = "ist"
)

const (
	// ballastTable makes full copies as large as a scenario needs.
	ballastTable = "lab.ballast"
	// ballastRow is the size of its rows, in bytes.
	ballastRow = 256 << 10
	// transferPort is where a joining node's script listens for a full copy: wsrep_sst_receive_address's default.
	transferPort = 4444
)

// Fill puts megabytes of data into the cluster through one of its nodes, so that a full copy takes its time. Reset takes
// them away.
func (l *Lab) Fill(ctx context.Context, n *Node, megabytes int) error {
	l.mu.Lock()
	l.filled = true
	l.mu.Unlock()
	err := n.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+ballastTable+" (id INT AUTO_INCREMENT PRIMARY KEY, data LONGBLOB NOT NULL) ENGINE=InnoDB")
	for i := 0; err == nil && i < megabytes<<20/ballastRow; i++ {
		// One row a transaction: no write-set is large enough to hold the others up.
		err = n.Exec(ctx, fmt.Sprintf("INSERT INTO %s (data) VALUES (REPEAT(MD5(%d), %d))", ballastTable, i, ballastRow/32))
	}
	return err
}

// empty undoes Fill. All nodes must be synced.
func (l *Lab) empty(ctx context.Context) error {
	l.mu.Lock()
	filled := l.filled
	l.filled = false
	l.mu.Unlock()
	if !filled {
		return nil
	}
	return l.DB[0].Exec(ctx, "DROP TABLE IF EXISTS "+ballastTable)
}

// Return says how a node comes back.
type Return struct {
	// Method is how it gets what it lacks. But for Incremental its disk is lost: it comes back without any data.
	Method Method
	// Donor is the node that must give it. Default: as Galera chooses, of the synced ones.
	Donor *Node
	// Names is wsrep_sst_donor where there is no Donor.
	Names string
	// Rate bounds full copies that the donor sends, in bytes per second. Default 0: no bound. Needs Donor.
	Rate int
}

// Donation is what a donor's own status said while it gave.
type Donation struct {
	// Since is when it was first seen as a donor, Long the time from then to when it was last seen as one, to 20 ms.
	// Both are zero where it was not seen as one.
	Since time.Time
	Long  time.Duration
}

// Return starts a node that is down and returns when it is synced, with what its donor said meanwhile (nothing without
// Return.Donor). It is an error if the node came back by another method.
func (n *Node) Return(ctx context.Context, r Return) (Donation, error) {
	args := []string{"--wsrep-sst-method=" + string(r.Method)}
	if r.Method == Incremental {
		args = []string{"--wsrep-sst-method=" + string(RSync)}
	} else if n.Running() {
		return Donation{}, fmt.Errorf("return of %s: it runs", n.Name)
	} else if err := errors.Join(os.RemoveAll(n.DataDir), n.lab.ownFolder(n.DataDir)); err != nil {
		return Donation{}, err
	}
	end := func() Donation { return Donation{} }
	if r.Names != "" {
		args = append(args, "--wsrep-sst-donor="+r.Names)
	}
	if r.Donor != nil {
		// Without a comma behind it the name is an order, not a preference.
		args = append(args, "--wsrep-sst-donor="+r.Donor.Name)
		if r.Rate > 0 {
			slow, err := n.lab.slowTransfers(ctx, r.Donor, r.Rate)
			if err != nil {
				return Donation{}, err
			}
			defer func() { _ = slow.Undo(ctx) }()
		}
		end = r.Donor.watchDonation(ctx)
	}
	err := n.start(ctx, args...)
	given := end()
	if err != nil {
		return given, err
	}
	return given, n.cameBackBy(r.Method)
}

// cameBackBy compares what the node's log says with the method by which it was to come back.
func (n *Node) cameBackBy(m Method) error {
	text, err := os.ReadFile(n.Process().Log)
	if err != nil {
		return err
	}
	// The scripts of both methods say so.
	if incremental := strings.Contains(string(text), "IST completed on joiner"); incremental != (m == Incremental) {
		return fmt.Errorf("return of %s by %s: it was incremental: %t", n.Name, m, incremental)
	}
	return nil
}

// watchDonation looks at the node's own state until the returned function is called.
func (n *Node) watchDonation(ctx context.Context) (end func() Donation) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan Donation)
	go func() {
		var d Donation
		for ctx.Err() == nil {
			if s, err := n.Status(ctx, "wsrep_local_state"); err == nil && s["wsrep_local_state"] == stateDonor {
				if d.Since.IsZero() {
					d.Since = time.Now()
				}
				d.Long = time.Since(d.Since)
			}
			Sleep(ctx, pollInterval)
		}
		done <- d
	}()
	return func() Donation { cancel(); return <-done }
}

// slowTransfers bounds the full copies that a node sends, in bytes per second; nothing else that it sends.
func (l *Lab) slowTransfers(ctx context.Context, n *Node, rate int) (*Fault, error) {
	tc := func(args ...string) error {
		_, err := n.Run(ctx, "tc", args...)
		return err
	}
	undo := func(ctx context.Context) error {
		_, err := n.Run(ctx, "tc", "qdisc", "del", "dev", hostLink, "root")
		return err
	}
	// What no filter names passes an htb without a default class unbounded.
	if err := tc("qdisc", "add", "dev", hostLink, "root", "handle", "1:", "htb"); err != nil {
		return nil, err
	}
	err := tc("class", "add", "dev", hostLink, "parent", "1:", "classid", "1:1", "htb", "rate", strconv.Itoa(rate*8)+"bit", "quantum", "60000")
	if err == nil {
		err = tc("filter", "add", "dev", hostLink, "parent", "1:", "protocol", "ip", "u32",
			"match", "ip", "dport", strconv.Itoa(transferPort), "0xffff", "flowid", "1:1")
	}
	if err != nil {
		return nil, errors.Join(err, undo(ctx))
	}
	return l.remember(&Fault{what: "slow transfers from " + n.Name, undo: undo}), nil
}
