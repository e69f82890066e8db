package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// evictions is how many a stage has before it is built anew: in an hour the daemons do one more.
const evictions = 5

// stage is the stack that rounds are played on, one after the other.
type stage struct {
	*stack.Stack
	lab   *lab.Lab
	mode  string // of --evict
	done  int    // evictions
	spent bool
}

// ready brings the stage to where a round of a shape can begin.
func (s *stage) ready(ctx context.Context, sh *shape) error {
	mode := evict.ModeGone
	if sh.silent {
		mode = evict.ModeSilent
	}
	if s.Stack == nil || s.spent || s.done >= evictions || s.mode != mode {
		if err := s.up(ctx, mode); err != nil {
			return err
		}
	}
	return s.calm(ctx)
}

func (s *stage) up(ctx context.Context, mode string) error {
	s.Stack = nil
	if err := s.lab.Reset(ctx); err != nil {
		return err
	}
	up, err := stack.Up(ctx, s.lab, stack.Options{CheckInterval: time.Second,
		DaemonArgs: []string{"--evict", mode, "--max-auto-moves", "0"}})
	if err != nil {
		return err
	}
	if err := up.GrantEviction(ctx); err != nil {
		return err
	}
	s.Stack, s.mode, s.done, s.spent = up, mode, 0, false
	return nil
}

// calm waits until every daemon calls every node healthy and has heard its process at its group port, all in one view, and no
// move is under way.
func (s *stage) calm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.WaitSteering(ctx, len(s.PX)); err != nil {
		return err
	}
	for {
		why := s.uneasy(ctx)
		if why == "" {
			return nil
		}
		if !lab.Sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("waited for all to be well: %s", why)
		}
	}
}

func (s *stage) uneasy(ctx context.Context) string {
	for _, p := range s.PX {
		a, err := s.Active(ctx, p)
		if err != nil || !a.Agreed || a.Move != nil {
			return fmt.Sprintf("%s: %+v, %v", p.Name, a, err)
		}
		nodes, err := api.New(p.Daemon.AdminSocket).Nodes(ctx)
		if err != nil {
			return err.Error()
		}
		for _, n := range nodes {
			if n.Healthy != len(s.PX) || len(n.Opinions) != len(s.PX) {
				return n.Name + " is not healthy for all"
			}
			if n.StallMS == 0 || n.StallMS > 500 {
				return n.Name + " would not be evicted: " + n.Stall
			}
			for _, o := range n.Opinions {
				if o.HAProxy != "up" || o.Group == nil || !o.Group.Met || o.Group.Ended != "" || o.Group.Size != int64(len(s.DB)) {
					return fmt.Sprintf("%s of %s: %+v", o.Member, n.Name, o.Group)
				}
			}
		}
	}
	return ""
}

// active is the node that the writers are on.
func (s *stage) active(ctx context.Context) (*lab.Node, error) {
	a, err := s.Active(ctx, s.PX[0])
	if err != nil {
		return nil, err
	}
	n := s.Node(a.Active)
	if n == nil {
		return nil, fmt.Errorf("no active: %+v", a)
	}
	return n, nil
}

func (s *stage) others(node *lab.Node) []*lab.Node {
	return slices.DeleteFunc(slices.Clone(s.DB), func(n *lab.Node) bool { return n == node })
}

func (s *stage) hosts() []*lab.Host {
	var all []*lab.Host
	for _, p := range s.PX {
		all = append(all, p.Host)
	}
	return all
}

// prepare makes a table once, by statements.
func prepare(ctx context.Context, n *lab.Node, table, statement string) error {
	if rows, err := n.Query(ctx, "SELECT 1 FROM "+table+" LIMIT 1"); err == nil && len(rows) > 0 {
		return nil
	}
	return client(ctx, n, statement)
}

// client runs statements in the client program, which waits for as long as it takes.
func client(ctx context.Context, n *lab.Node, statements string) error {
	r, err := n.Command(ctx, statements, "mariadb", "-uroot", "-S", n.Socket, "lab")
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("%s: %s", n.Name, strings.TrimSpace(r.Stderr))
	}
	return err
}

// daemonLogs are the files of all daemons so far.
func (s *stage) daemonLogs() []string {
	return slices.DeleteFunc(s.lab.Logs(), func(path string) bool { return !strings.HasSuffix(filepath.Base(path), "-haproxyd.log") })
}
