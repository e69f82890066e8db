package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

func TestInitialVoters(t *testing.T) {
	peers := []configs.Peer{{Name: "px0", Host: "a"}, {Name: "px1", Host: "b"}}
	tests := []struct {
		name    string
		args    []string
		member  string
		peers   []configs.Peer
		want    string
		problem string
	}{
		{name: "the peers", member: "px1", peers: peers, want: "px0 px1"},
		{name: "no peers", member: "px0", want: "px0"},
		{name: "the flag, where only the local peer is known", args: []string{"--initial-voters", "px0,px1,px2"}, member: "px0", peers: peers[:1], want: "px0 px1 px2"},
		{name: "a HAProxy that was added founds nothing", args: []string{"--initial-voters", "px0,px1,px2"}, member: "px3", want: "px0 px1 px2"},
		{name: "not a peer", member: "px9", peers: peers, problem: "px9 is not a peer of haproxy.cfg"},
		{name: "a witness is none", args: []string{"--witness"}, member: "w", peers: peers, want: "px0 px1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(t, tt.args, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&parts{settings: s, name: tt.member}).initialVoters(tt.peers)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestCheckVoters(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "",
		"--initial-voters=px0,px1": "",
		"--initial-voters=dns:p":   "needs --bootstrap-expect N",
		"--initial-voters=dns:p --bootstrap-expect=1": "needs --bootstrap-expect N",
		"--initial-voters=dns:p --bootstrap-expect=3": "",
		"--initial-voters=dns: --bootstrap-expect=3":  "names no host",
		"--initial-voters=px0,dns:p":                  "stands alone",
	} {
		s, err := parse(t, strings.Fields(args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.checkVoters(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// Whoever is looked up is named as the renderer names its HAProxy.
func TestVotersAt(t *testing.T) {
	got, err := (&parts{}).votersAt("localhost")
	if err != nil || !slices.Contains(got, "127-0-0-1") {
		t.Errorf("got %v, %v", got, err)
	}
}

// What --peers-bind leaves on the local line is no address to join.
func TestJoinSkipsTheLocalBind(t *testing.T) {
	s, err := parse(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{settings: s, name: "px0"}
	if got := strings.Join(p.join([]configs.Peer{{Name: "px0", Host: "0.0.0.0"}, {Name: "px1", Host: "haproxy-1"}}), " "); got != "haproxy-1:7946" {
		t.Errorf("got %q", got)
	}
}
