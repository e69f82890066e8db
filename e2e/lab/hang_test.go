package lab_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// TestHangs makes commits hang in every way that the lab knows, and looks at which nodes' do.
func TestHangs(t *testing.T) {
	ctx, l := newLab(t, lab.Config{Proxies: 1})
	for _, n := range l.DB[:1] {
		must(t, n.Exec(ctx, "CREATE TABLE lab.canary (node VARCHAR(16) PRIMARY KEY, n INT NOT NULL)"))
	}
	must(t, l.WaitSynced(ctx))
	for _, c := range []struct {
		name  string
		make  func(context.Context) (*lab.Fault, error)
		hangs []bool // by node
		state string // of db1 meanwhile
		flow  string // of db0 meanwhile
	}{
		{"block commits", l.DB[1].BlockCommits, []bool{false, true, false}, "2", "false"},
		{"slow everybody", l.DB[1].SlowEverybody, []bool{true, true, true}, "4", "true"},
		{"lag", l.DB[1].Lag, []bool{false, true, false}, "4", "false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault, err := c.make(ctx)
			must(t, err)
			before, done := status(t, ctx, l.DB[1]), make([]chan error, len(l.DB))
			for i, n := range l.DB {
				done[i] = make(chan error, 1)
				go func() {
					done[i] <- n.Exec(ctx, "INSERT INTO lab.canary VALUES (?, 1) ON DUPLICATE KEY UPDATE n = n + 1", n.Name)
				}()
			}
			late := time.After(time.Second)
			for i, n := range l.DB {
				if c.hangs[i] {
					continue
				}
				if err := <-done[i]; err != nil {
					t.Errorf("%s: %v", n.Name, err)
				}
			}
			<-late
			for i, n := range l.DB {
				if c.hangs[i] && len(done[i]) > 0 {
					t.Errorf("%s committed: %v", n.Name, <-done[i])
				}
			}
			s, first := status(t, ctx, l.DB[1]), status(t, ctx, l.DB[0])
			if s["wsrep_local_state"] != c.state || first["wsrep_flow_control_active"] != c.flow ||
				s["wsrep_last_committed"] != before["wsrep_last_committed"] {
				t.Errorf("state %s, flow control on db0 %s, committed %s and before %s", s["wsrep_local_state"],
					first["wsrep_flow_control_active"], s["wsrep_last_committed"], before["wsrep_last_committed"])
			}
			paused := number(t, first["wsrep_flow_control_paused_ns"])
			wait(t, 200*time.Millisecond)
			grew := number(t, status(t, ctx, l.DB[0])["wsrep_flow_control_paused_ns"]) - paused
			if (grew >= 100e6) != (c.flow == "true") {
				t.Errorf("wsrep_flow_control_paused_ns grew by %d ns in 200 ms", grew)
			}

			must(t, fault.Undo(ctx))
			for i, n := range l.DB {
				if c.hangs[i] {
					if err := <-done[i]; err != nil {
						t.Errorf("%s after the end: %v", n.Name, err)
					}
				}
			}
		})
	}

	t.Run("reset", func(t *testing.T) {
		_, err := l.DB[0].BlockCommits(ctx)
		must(t, err)
		_, err = l.DB[2].Lag(ctx)
		must(t, err)
		must(t, l.DB[2].Pause())
		must(t, l.Reset(ctx))
		for _, n := range l.DB {
			must(t, n.Exec(ctx, "UPDATE lab.canary SET n = n + 1 WHERE node = ?", n.Name))
			rows, err := n.Query(ctx, "SELECT @@GLOBAL.wsrep_provider_options LIKE '%gcs.fc_limit = 16;%'")
			must(t, err)
			if rows[0][0] != "1" {
				t.Errorf("%s still has another gcs.fc_limit", n.Name)
			}
		}
		_, err = l.DB[1].SlowEverybody(ctx)
		must(t, err)
		l.DB[1].Kill9()
		must(t, l.Reset(ctx))
	})
}

func status(t *testing.T, ctx context.Context, n *lab.Node) map[string]string {
	t.Helper()
	s, err := n.Status(ctx, "wsrep_%")
	must(t, err)
	return s
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	must(t, err)
	return n
}
