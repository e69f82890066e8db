package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func recordedStatus(t *testing.T) api.Status {
	t.Helper()
	data, err := os.ReadFile("testdata/api/GET-v1-status")
	if err != nil {
		t.Fatal(err)
	}
	var s api.Status
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// testApp writes to a buffer, with the bubble's clock.
func testApp(terminal bool, f format) (*app, *bytes.Buffer) {
	var out bytes.Buffer
	return &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }, now: time.Now, terminal: terminal, format: f}, &out
}

// watchSteps runs --watch over the answers, one a second, and ends it after the
// last. A nil answer is a daemon that does not answer.
func watchSteps(t *testing.T, terminal bool, f format, steps []*api.Status) string {
	t.Helper()
	var text string
	synctest.Test(t, func(t *testing.T) {
		a, out := testApp(terminal, f)
		ctx, cancel := context.WithCancel(t.Context())
		i := 0
		start := time.Now()
		err := a.watch(ctx, func(context.Context) (api.Status, error) {
			s := steps[i]
			i++
			if i == len(steps) {
				cancel()
			}
			if s == nil {
				return api.Status{}, errors.New("nobody listens on the socket")
			}
			return *s, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), time.Duration(len(steps)-1)*watchEvery; got != want {
			t.Errorf("it took %s for %d looks, want %s", got, len(steps), want)
		}
		text = out.String()
	})
	return text
}

func TestWatchPrintsChanges(t *testing.T) {
	first := recordedStatus(t)

	restless := recordedStatus(t) // only what differs at every look
	restless.Nodes[1].Sessions++
	restless.Nodes[1].Opinions[0].AgeMS += 50
	restless.Register.Voters[1].HeardMS++

	moved := recordedStatus(t)
	moved.Active.Active, moved.Active.Epoch, moved.Active.By, moved.Active.Reason = "pxc-1", 8, "px2", "pxc-2 was down for 3 of 3 voters"
	moved.Active.Converged = 2
	moved.Nodes[1].Healthy, moved.Nodes[1].Down = 0, 3
	moved.Members[0].Proxy.Effective = "pxc-1"
	moved.Members = moved.Members[:3]
	moved.Problems = append(moved.Problems, api.Problem{Code: api.ProblemHAProxySilent, Severity: api.SeverityCritical, Member: "px2", Text: "the HAProxy of px2 does not answer since 9 s"})
	counting := moved
	counting.Problems = slices.Clone(moved.Problems)
	counting.Problems[len(counting.Problems)-1].Text = "the HAProxy of px2 does not answer since 10 s"

	well := moved
	well.Active.Converged, well.Problems = 3, nil
	well.State, well.Headline = api.StateOK, "pxc-1 takes the writes on 3 of 3 proxies"

	out := watchSteps(t, false, formatTable, []*api.Status{&first, &restless, nil, nil, &moved, &counting, &well, &well})
	_, after, ok := strings.Cut(out, "voters: px0, px1, w0\n")
	if !ok {
		t.Fatalf("the status does not come first:\n%s", out)
	}
	want := []string{
		"nobody listens on the socket",
		"haproxyd answers again",
		"active: pxc-2 -> pxc-1, epoch 8 by px2: pxc-2 was down for 3 of 3 voters",
		"node pxc-2: active, 3 down",
		"member px0: alive, leader - goes to pxc-1, steered",
		"member w0: gone",
		"critical: the HAProxy of px2 does not answer since 9 s",
		"OK: pxc-1 takes the writes on 3 of 3 proxies",
	}
	lines := strings.Split(strings.TrimSpace(after), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), after)
	}
	for i, line := range lines {
		stamp, text, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339, stamp); err != nil || text != want[i] {
			t.Errorf("line %d is %q, want a time and %q", i, line, want[i])
		}
	}
}

func TestWatchPrintsOneJSONLinePerChange(t *testing.T) {
	first, second, third := recordedStatus(t), recordedStatus(t), recordedStatus(t)
	second.Nodes[1].Sessions++
	third.Active.Frozen = true
	out := watchSteps(t, false, formatJSON, []*api.Status{&first, &second, nil, &third, &third})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want the first status and the frozen one:\n%s", len(lines), out)
	}
	var s api.Status
	if err := json.Unmarshal([]byte(lines[1]), &s); err != nil || !s.Active.Frozen {
		t.Errorf("%v: %s", err, lines[1])
	}
}

func TestWatchRedrawsATerminal(t *testing.T) {
	first, moved := recordedStatus(t), recordedStatus(t)
	moved.Active.Active, moved.Headline = "pxc-1", "pxc-1 takes the writes"
	out := watchSteps(t, true, formatTable, []*api.Status{&first, nil, &moved, &moved})
	screens := strings.Split(out, "\x1b[H\x1b[2J")[1:]
	if len(screens) != 3 {
		t.Fatalf("got %d screens, want 3", len(screens))
	}
	for i, want := range []string{"pxc-2 takes the writes", "NO ANSWER, this is old: nobody listens", "pxc-1 takes the writes"} {
		if !strings.Contains(screens[i], want) {
			t.Errorf("screen %d lacks %q:\n%s", i, want, screens[i])
		}
	}
	if strings.Contains(screens[2], "NO ANSWER") {
		t.Error("the answer that came again is still called missing")
	}
}

// A move, a fence and a forced node are changes; how far a move is, is none.
func TestWatchPrintsMovesAndFences(t *testing.T) {
	first, moving, further, over, fenced := recordedStatus(t), recordedStatus(t), recordedStatus(t), recordedStatus(t), recordedStatus(t)
	moving.Active.Move = &api.Move{From: "pxc-2", To: "pxc-1", State: api.MovePending, Drain: "transactions", Left: 9, Moved: 9}
	further.Active.Move = &api.Move{From: "pxc-2", To: "pxc-1", State: api.MovePending, Drain: "transactions", Left: 3, Moved: 9}
	fenced.Members[1].Proxy.Fenced = "it cannot reach pxc-2"
	fenced.Active.Fenced = []string{"px1: it cannot reach pxc-2"}
	fenced.Active.LocalOnly = "pxc-0"
	fenced.Problems = append(fenced.Problems, api.Problem{Code: api.ProblemFenced, Severity: api.SeverityCritical, Member: "px1", Text: "px1 is fenced"})
	out := watchSteps(t, false, formatTable, []*api.Status{&first, &moving, &further, &over, &fenced, &fenced})
	_, after, _ := strings.Cut(out, "voters: px0, px1, w0\n")
	var got []string
	for line := range strings.SplitSeq(strings.TrimSpace(after), "\n") {
		_, text, _ := strings.Cut(line, " ")
		got = append(got, text)
	}
	want := []string{
		"a move from pxc-2 to pxc-1 is pending (--drain transactions)",
		"the move is over: the active node is pxc-2",
		"local only: none -> pxc-0",
		"member px1: alive, voter - FENCED, serves nobody: it cannot reach pxc-2",
		"critical: px1 is fenced",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A screen that is higher than the terminal loses its end, not its banner.
func TestClip(t *testing.T) {
	a, _ := testApp(true, formatTable)
	screen := []byte("banner\n2\n3\n4\n5\n6\n")
	for rows, want := range map[int]string{
		0: string(screen), // not known
		7: string(screen),
		6: "banner\n2\n3\n4\n\x1b[2m... 2 more lines: make the window higher\x1b[0m",
		4: "banner\n2\n\x1b[2m... 4 more lines: make the window higher\x1b[0m",
	} {
		a.size = func() (int, int) { return 100, rows }
		if got := string(a.clip(bytes.Clone(screen))); got != want {
			t.Errorf("%d rows: got %q, want %q", rows, got, want)
		}
	}
}
