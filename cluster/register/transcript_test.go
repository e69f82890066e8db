package register

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// world runs a transcript: the simulation without chance, told what to do.
type world struct {
	*sim
	disks map[string][]uint64
	exact map[string]simDisk
	text  strings.Builder
}

// TestTranscripts replays testdata; go test -rewrite writes it anew.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "members" {
				w = newWorld(d)
				return ""
			}
			w.text.Reset()
			w.command(t, d)
			if w.problem != nil {
				t.Fatal(w.problem)
			}
			return w.text.String()
		})
	})
}

func newWorld(d *datadriven.TestData) *world {
	var voters, extra int
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "voters":
			fmt.Sscan(a.Vals[0], &voters)
		case "extra":
			fmt.Sscan(a.Vals[0], &extra)
		}
	}
	w := &world{
		sim:   newSim(simOptions{seed: 1, voters: voters, extra: extra}),
		disks: make(map[string][]uint64), exact: make(map[string]simDisk),
	}
	w.loss, w.dup, w.slow = 0, 0, 0
	return w
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// label names a disk readably: its member and a letter, in order of appearance.
func (w *world) label(name string, disk uint64) string {
	i := slices.Index(w.disks[name], disk)
	if i < 0 {
		w.disks[name] = append(w.disks[name], disk)
		i = len(w.disks[name]) - 1
	}
	return fmt.Sprintf("%s%c", name, 'a'+i)
}

func (w *world) status() {
	for _, h := range w.hosts {
		if h.down {
			w.printf("%s is down", h.name)
			continue
		}
		st := h.core.Status(h.clock())
		role := string(st.State)
		if st.IsLeader {
			role = "leader"
		}
		text := fmt.Sprintf("%s %s", w.label(h.name, st.Disk), role)
		if st.State == StateVoter && !st.Voting {
			text += " (not voting)"
		}
		if st.Known {
			text += fmt.Sprintf(" %s %q", st.Record.Version, st.Record.Value)
		}
		var voters []string
		for _, v := range st.Voters {
			l := w.label(v.Name, v.Disk)
			if v.Learner {
				l += " learns"
			}
			voters = append(voters, l)
		}
		text += fmt.Sprintf(" [%s]", strings.Join(voters, " "))
		if st.Fresh {
			text += " fresh"
		} else {
			text += ": " + st.Reason
		}
		w.printf("%s", text)
	}
}

func (w *world) command(t *testing.T, d *datadriven.TestData) {
	arg := func(i int) string { return d.CmdArgs[i].Key }
	host := func(i int) *simHost {
		h := w.host(arg(i))
		if h == nil {
			t.Fatalf("%s: no member %q", d.Pos, arg(i))
		}
		return h
	}
	switch d.Cmd {
	case "start":
		for i := range d.CmdArgs {
			host(i).start()
		}
	case "run":
		dur, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		w.sim.run(w.now+dur, nil)
		w.status()
	case "until-leader":
		began := w.now
		w.sim.run(w.now+20*time.Second, func() bool {
			return slices.ContainsFunc(w.hosts, func(h *simHost) bool { return !h.down && !h.paused && h.core.leading })
		})
		w.printf("a leader after %s", (w.now - began).Round(10*time.Millisecond))
	case "crash":
		h := host(0)
		h.flight = nil
		h.crash()
		for _, a := range d.CmdArgs[1:] {
			switch a.Key {
			case "lost":
				h.disk = simDisk{}
			case "half":
				h.disk.data = h.disk.data[:len(h.disk.data)/2]
			case "copy":
				h.disk.data = w.exact[h.name].data
				w.nextBirth++
				h.disk.birth = w.nextBirth
			case "snapshot":
				h.disk = w.exact[h.name]
			}
		}
	case "backup":
		h := host(0)
		w.exact[h.name] = simDisk{simFile: simFile{slices.Clone(h.disk.data), h.disk.birth}}
	case "fail-write":
		host(0).disk.fail = true
	case "cut":
		for _, o := range w.hosts {
			w.sim.cut[[2]string{arg(0), o.name}], w.sim.cut[[2]string{o.name, arg(0)}] = true, true
		}
	case "connect":
		clear(w.sim.cut)
	case "propose":
		h := host(0)
		r, _ := h.core.known()
		w.request(h, func(id uint64) {
			h.core.Propose(h.clock(), id, Command{ID: arg(1), Expect: r.Version, NewEpoch: true, Value: []byte(arg(2))})
		})
	case "propose-expecting-nothing":
		h := host(0)
		w.request(h, func(id uint64) {
			h.core.Propose(h.clock(), id, Command{ID: arg(1), Value: []byte(arg(2))})
		})
	case "read":
		h := host(0)
		w.request(h, func(id uint64) { h.core.Read(h.clock(), id) })
	case "leave":
		h := host(0)
		w.request(h, func(id uint64) { h.core.Leave(h.clock(), id) })
	case "init-force":
		h := host(0)
		h.do(h.life, func() { w.printf("%v", h.core.InitForce(h.clock())) })
	case "recover":
		h := host(0)
		var names []string
		for i := range d.CmdArgs[1:] {
			names = append(names, arg(i+1))
		}
		h.do(h.life, func() { w.printf("%v", h.core.Recover(h.clock(), names)) })
	case "dropped":
		c := host(0).core
		w.printf("of another generation: %v, of another cluster: %v, for another disk: %v",
			c.counters.DroppedGeneration > 0, c.counters.DroppedCluster > 0, c.counters.DroppedDisk > 0)
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
}

// request runs one and prints its answer.
func (w *world) request(h *simHost, f func(id uint64)) {
	w.nextReq++
	id := w.nextReq
	op := &simOp{client: -1, call: w.now}
	w.requests[id] = op
	var got *Result
	w.answered = func(r Result) {
		if r.ID == id {
			got = &r
		}
	}
	h.do(h.life, func() { f(id) })
	w.sim.run(w.now+5*time.Second, func() bool { return got != nil })
	w.answered = nil
	var refused *RefusedError
	switch {
	case got == nil:
		h.do(h.life, func() { h.core.Cancel(h.clock(), id) })
		w.printf("no answer within 5 s")
	case errors.As(got.Err, &refused):
		w.printf("refused: %s %q by %s", refused.Current.Version, refused.Current.Value, refused.Current.CommandID)
	case got.Err != nil:
		w.printf("%v", got.Err)
	case got.Record.CommandID == "" && got.Record.Revision > 0 || got.Record.Version == Version{}:
		w.printf("done")
	default:
		w.printf("done: %s %q by %s", got.Record.Version, got.Record.Value, got.Record.CommandID)
	}
}
