package main

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// A proxy that has sent connections elsewhere is not called as agreed on any table, whatever
// its tables say; a move that succeeds says it as a warning. (The headline is the daemon's.)
func TestAstrayOnTheScreens(t *testing.T) {
	const text = "px1: 3 connections went to db2 of backend galera-nodes since 2026-05-04T12:00:00Z although its tables lead to db0"
	s := recordedStatus(t)
	s.Active.Astray = []string{text}
	for i := range s.Members {
		if p := s.Members[i].Proxy; p != nil && s.Members[i].Name == "px1" {
			p.Astray = []api.Astray{{Backend: "galera-nodes", Server: "db2", Connections: 3, Since: time.Now()}}
		}
	}
	a, out := testApp(false, formatTable)
	a.statusTable(out, s)
	got, row := out.String(), ""
	for line := range strings.Lines(got) {
		if strings.HasPrefix(strings.TrimSpace(line), "px1 ") && row == "" && strings.Contains(line, " no ") {
			row = line
		}
	}
	if row == "" || !strings.Contains(got, "3 connections to db2 of backend galera-nodes") {
		t.Errorf("the table of proxies: %s", got)
	}

	a, out = testApp(false, formatTable)
	a.activeTable(out, s.Active)
	if !strings.Contains(out.String(), "Astray") || !strings.Contains(out.String(), text[:40]) {
		t.Errorf("active: %s", out)
	}
	a, out = testApp(false, formatTable)
	a.setTable(out, api.SetResponse{Changed: true, To: "db0", Active: s.Active}, setOptions{}, "after 20 ms")
	if !strings.Contains(out.String(), "Warning: "+text) {
		t.Errorf("active set: %s", out)
	}
}
