package page

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// A move is shown while it runs and for as long as it is what brought the active here; a later decision ends that.
func TestSeeMove(t *testing.T) {
	o := recorded(t)
	o.Move = api.Move{Epoch: o.Status.Active.Epoch, Recovery: o.Status.Active.Recovery, State: api.MovePending, From: "db1", To: "db2", Moved: 12, Left: 3, Drain: "transactions", Hold: true}
	m := see(o, time.Now()).Move
	if m == nil || !m.Running || m.Done != 9 || m.State.Kind != "warn" || !strings.Contains(m.Line, "3/12 sessions left") || m.Kind != "--drain transactions --hold" {
		t.Errorf("%+v", m)
	}
	o.Move.State = api.MoveRolledBack
	o.Status.Active.Epoch++
	if m := see(o, time.Now()).Move; m == nil || m.Running || m.State != (mark{"bad", "rolled back"}) {
		t.Errorf("%+v", m)
	}
	o.Move.Epoch--
	o.Status.Nodes[1].Opinions = nil
	if got := see(o, time.Now()).Nodes[1].Behind; got != "?" {
		t.Errorf("nobody has read how far it is, and the page says %q", got)
	}
	if m := see(o, time.Now()).Move; m != nil {
		t.Errorf("another decision came, and the page shows %+v", m)
	}
}

// Nothing of the answers is left out because there is less of it than usual.
func TestSeeLittle(t *testing.T) {
	v := see(api.Overview{}, time.Now())
	if v.Taker != "nobody yet" || v.State != (mark{"bad", "UNKNOWN"}) || v.Move != nil || len(v.Line.Entries) != 0 {
		t.Errorf("%+v", v)
	}
	o := recorded(t)
	o.Status.Register.Voters = append(o.Status.Register.Voters, api.Voter{Name: "px9", Disk: "d"})
	o.Status.Register.Voters[0].Live = false
	all := see(o, time.Now()).Voters
	if last := all[len(all)-1]; last.Name != "px9" || last.Heard.Kind != "bad" || all[0].Heard.Text != "its vote is not heard" {
		t.Errorf("%+v", all)
	}
	o.Status.Members[1].Proxy = nil
	if p := see(o, time.Now()).Proxies[1]; p.Goes != (mark{"bad", "?"}) || len(p.Notes) == 0 {
		t.Errorf("%+v", p)
	}
}

// The line has the last day, what is near in one dot, and each row by itself.
func TestLine(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	h := api.History{
		Decisions: []api.Decision{{At: now, Kind: "failover", From: "a", Active: "b", Reason: "a is down", By: "px0"}, {At: now.Add(-25 * time.Hour), Kind: "adopt", Active: "a"}},
		Orders:    []api.Order{{At: now.Add(-12 * time.Hour), Kind: "freeze", OrderedBy: "ana (uid 1000)"}},
		Events:    []api.Event{{At: now.Add(-time.Minute), Message: "two"}, {At: now.Add(-2 * time.Minute), Message: "one"}, {At: now.Add(-6 * time.Hour), Message: "zero"}},
	}
	l := lineOf(h, now)
	var dots, entries []string
	for _, d := range l.Dots {
		dots = append(dots, fmt.Sprint(d.Row, " ", d.X, " ", d.N))
	}
	for _, e := range l.Entries {
		entries = append(entries, e.Title+"|"+e.Text)
	}
	if got := strings.Join(dots, ", "); got != "order 50.00% 1, event 74.00% 1, event 97.87% 2, decision 98.00% 1" {
		t.Errorf("dots: %s", got)
	}
	if got := strings.Join(entries, ", "); got != "failover: a → b|a is down — px0, |two, |one, |zero, freeze|ana (uid 1000)" {
		t.Errorf("entries: %s", got)
	}
	if l.Label != "the last 24 hours: 1 decisions, 1 orders, 3 events" || l.Hours[0].X != "2.00%" || l.Hours[4].X != "98.00%" {
		t.Errorf("%s, %+v", l.Label, l.Hours)
	}
	for range 100 {
		h.Events = append(h.Events, api.Event{At: now, Message: "again"})
	}
	if l := lineOf(h, now); len(l.Entries) != mostListed || l.Left != 105-mostListed {
		t.Errorf("%d entries, %d left out", len(l.Entries), l.Left)
	}
}

// Each text can be read on its ground, in the light and in the dark (WCAG 2.1, 1.4.3: 4.5 to 1).
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	var themes []map[string]string
	for _, block := range regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1) {
		theme := map[string]string{}
		for _, m := range regexp.MustCompile(`--(\w+): #(\w+);`).FindAllStringSubmatch(block[1], -1) {
			theme[m[1]] = m[2]
		}
		themes = append(themes, theme)
	}
	if len(themes) != 2 {
		t.Fatalf("%d themes", len(themes))
	}
	for i, theme := range themes {
		for _, ink := range []string{"ink", "soft", "good", "warn", "bad", "link"} {
			for _, ground := range []string{"card", "ground"} {
				a, b := luminance(t, theme[ink]), luminance(t, theme[ground])
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
					t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, ink, ground, ratio)
				}
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	channel := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.03928 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(n>>16) + 0.7152*channel(n>>8) + 0.0722*channel(n)
}
