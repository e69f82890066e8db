package e2e

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// waitClean waits until the cluster is in a clean state and stays so, and returns
// how long after the kill that began, and since when all proxies steered too.
func (c *cell) waitClean(v victim, killed time.Time) (took, steering time.Duration) {
	s := c.scenario
	s.t.Helper()
	restart := killed
	if v.name != "operator" {
		restart = killed.Add(restartAfter)
	}
	var clean, steers time.Time
	last := ""
	ok := func(since *time.Time, why string) {
		switch {
		case why != "":
			*since, last = time.Time{}, fmt.Sprintf("%v after the kill: %s", time.Since(killed).Round(time.Millisecond), why)
		case since.IsZero():
			*since = time.Now()
		}
	}
	for {
		unclean, unsteered := c.unclean()
		ok(&clean, unclean)
		ok(&steers, orFirst(unclean, unsteered))
		now := time.Now()
		if !steers.IsZero() && now.Sub(steers) >= cleanFor && now.Sub(restart) >= cleanFor {
			break
		}
		if now.Sub(restart) > steersWithin+cleanFor || s.ctx.Err() != nil {
			s.t.Errorf("not clean within %v of the restart: %s", steersWithin, last)
			s.t.Logf("status: %+v", s.status(c.leader))
			return now.Sub(killed), now.Sub(killed)
		}
		wait(s.ctx, 50*time.Millisecond)
	}
	if clean.Sub(restart) > cleanWithin || steers.Sub(restart) > steersWithin {
		s.t.Errorf("clean %v and steering %v after the restart, at most %v and %v; the last that was not: %s",
			clean.Sub(restart), steers.Sub(restart), cleanWithin, steersWithin, last)
	}
	s.must(s.load.WaitFlowing(s.within(3 * time.Second)))
	return clean.Sub(killed), steers.Sub(killed)
}

func orFirst(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// unclean says what is not as in a clean state, "" for nothing, and apart from
// that why not all proxies steer.
func (c *cell) unclean() (why, unsteered string) {
	s := c.scenario
	var first api.Active
	for i, p := range s.PX {
		a, err := client(p).Active(s.ctx)
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", p.Name, err), ""
		case i == 0:
			first = a
		}
		switch {
		case !a.Agreed || a.Active != first.Active || a.Epoch != first.Epoch || a.Revision != first.Revision:
			return fmt.Sprintf("%s says %+v, %s %+v", p.Name, a, s.PX[0].Name, first), ""
		case a.Move != nil:
			return fmt.Sprintf("%s: a move is pending: %s", p.Name, a.Move.WaitingFor), ""
		case a.Converged < len(s.PX) || len(a.Fenced) > 0:
			return fmt.Sprintf("%s: %d converged: %v, fenced: %v", p.Name, a.Converged, a.NotConverged, a.Fenced), ""
		case a.Steering < len(s.PX):
			unsteered = fmt.Sprintf("%s: %d steer", p.Name, a.Steering)
		}
	}
	limits := map[string]string{}
	for _, p := range s.PX {
		rows, err := statOf(s.ctx, p)
		if err != nil {
			return fmt.Sprintf("%s: %v", p.Name, err), ""
		}
		for _, r := range rows {
			name := p.Name + ":" + r["pxname"] + "/" + r["svname"]
			limits[name] = r["slim"] + " " + r["weight"]
			switch {
			case r["qcur"] != "0":
				return name + ": " + r["qcur"] + " wait in its queue", ""
			case strings.HasPrefix(r["status"], "MAINT") || strings.HasPrefix(r["status"], "DRAIN"):
				return name + " is " + r["status"], ""
			case r["svname"] != first.Active && r["scur"] != "0":
				return name + ": " + r["scur"] + " sessions to a node that is not the active", ""
			}
		}
		table, err := p.Runtime(s.ctx, "show table "+private)
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", p.Name, err), ""
		case !strings.Contains(table, "key=1 ") || strings.Contains(table, "key=2 ") || strings.Contains(table, "key=3 "):
			return p.Name + ": " + table, ""
		}
		if code := s.ready(p); code != 200 {
			return fmt.Sprintf("%s: its HAProxy says %d", p.Name, code), ""
		}
		if code, body := s.tryGet(p, "/readyz"); code != 200 {
			return fmt.Sprintf("%s: its daemon says %d %s", p.Name, code, body), ""
		}
	}
	if !maps.Equal(limits, c.asConfigured) {
		return fmt.Sprintf("limits and weights %v, configured %v", limits, c.asConfigured), ""
	}
	return "", unsteered
}

// limits are the limits and weights of the sticky servers on every proxy.
func (c *cell) limits() map[string]string {
	out := map[string]string{}
	for _, p := range c.PX {
		rows, err := statOf(c.ctx, p)
		c.must(err)
		for _, r := range rows {
			out[p.Name+":"+r["pxname"]+"/"+r["svname"]] = r["slim"] + " " + r["weight"]
		}
	}
	if len(out) != len(c.PX)*len(c.DB) {
		c.t.Fatalf("sticky servers: %v", out)
	}
	return out
}

// statOf reads the statistics of the sticky servers of one HAProxy.
func statOf(ctx context.Context, p *lab.Proxy) ([]map[string]string, error) {
	text, err := p.Runtime(ctx, "show stat "+writers+" 4 -1")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(text), "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(err, fmt.Errorf("statistics: %q", text))
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		r := map[string]string{}
		for i, name := range rows[0] {
			r[name] = row[i]
		}
		out = append(out, r)
	}
	return out, nil
}

// tryGet is get without an end of the test.
func (s *scenario) tryGet(p *lab.Proxy, path string) (int, string) {
	res, err := p.HTTPClient().Get("http://127.0.0.1:9102" + path)
	if err != nil {
		return 0, err.Error()
	}
	_ = res.Body.Close()
	return res.StatusCode, strconv.Itoa(res.StatusCode)
}
