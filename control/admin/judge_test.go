package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// well is what px0 sees of three proxies and three nodes where all is well: db1 is the active.
func well() *seen {
	s := &seen{Status: &api.Status{Member: "px0", Mode: "steer", Active: api.Active{
		Active: "db1", Epoch: 4, Agreed: true, Members: 3, Steering: 3, Converged: 3, Proxies: 3,
	}}}
	for _, m := range []string{"px0", "px1", "px2"} {
		s.Members = append(s.Members, api.Member{Name: m, State: "alive", Voter: true, Self: m == "px0", Proxy: &api.Proxy{
			Reachable: true, Layout: "steer", Beacon: true, Steering: true, Effective: "db1", Converged: true, Epoch: 4,
		}})
		s.Register.Voters = append(s.Register.Voters, api.Voter{Name: m, Live: true})
	}
	for _, n := range []string{"db0", "db1", "db2"} {
		node := api.Node{Name: n, Active: n == "db1", Healthy: 3, Eligible: true}
		for _, m := range []string{"px0", "px1", "px2"} {
			node.Opinions = append(node.Opinions, api.Opinion{Member: m, Verdict: "healthy", Eligible: true, Reason: "synced", Class: "synced", HAProxy: "up", Voter: true, Seqno: 100})
		}
		s.Nodes = append(s.Nodes, node)
	}
	return s
}

// die takes nodes down for everybody who is heard.
func (s *seen) die(class, reason string, names ...string) {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if !slices.Contains(names, n.Name) {
			continue
		}
		n.Down, n.Healthy, n.Eligible = n.Healthy, 0, false
		for j := range n.Opinions {
			o := &n.Opinions[j]
			o.Verdict, o.Eligible, o.Class, o.Reason, o.HAProxy = "down", false, class, reason, "down"
		}
	}
}

func (s *seen) refuse(names ...string) { s.die("refused", "the node refuses connections", names...) }

// lead makes a node the active that all proxies follow, or that none has followed yet.
func (s *seen) lead(node string) {
	s.Active.Active, s.Active.Epoch = node, 5
	for i := range s.Nodes {
		s.Nodes[i].Active = s.Nodes[i].Name == node
	}
	for i := range s.Members {
		s.Members[i].Proxy.Effective, s.Members[i].Proxy.Epoch = node, 5
	}
}

// native has these proxies do what HAProxy does by itself.
func (s *seen) native(to string, members ...string) {
	for i := range s.Members {
		if p := s.Members[i].Proxy; p != nil && slices.Contains(members, s.Members[i].Name) {
			p.Effective, p.Steering, p.Beacon = to, false, false
			if s.Active.Active != to && p.Converged {
				p.Converged = false
				s.Active.Converged--
			}
		}
	}
}

func (s *seen) fence(why string, members ...string) {
	s.native("", members...)
	for i := range s.Members {
		if slices.Contains(members, s.Members[i].Name) {
			s.Members[i].Proxy.Fenced = why
		}
	}
}

// alone leaves px0 without the others and without a majority.
func (s *seen) alone() {
	s.Active.Agreed, s.Active.Proxies, s.Active.Steering = false, 1, 0
	s.Register.Reason = "no leader is known; px1, px2 are not here"
	s.silent = []string{"px1", "px2"}
	s.native(s.Active.Active, "px0")
	for i := 1; i < 3; i++ {
		s.Members[i].Proxy, s.Members[i].State = nil, "gone"
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Opinions, n.Healthy, n.Unknown, n.Eligible = n.Opinions[:1], 1, 2, false
	}
}

// hang has a HAProxy answer no more.
func (s *seen) hang(d time.Duration, members ...string) {
	for i := range s.Members {
		if slices.Contains(members, s.Members[i].Name) {
			s.Members[i].Proxy = &api.Proxy{Problem: "HAProxy's admin socket /run/haproxy/admin.sock: no answer in time", SilentMS: d.Milliseconds()}
			s.Active.Converged--
		}
	}
}

const (
	recoverAlone = "haproxyctl register recover --voters px0   # only if the disks of px1 and px2 are gone for good"
	unheard      = "warning member-silent px1,warning member-silent px2"
)

// Each case of it: what is seen, the headline with its state, and the problems with what they
// are about and, behind "try", what to type.
var judgements = []struct {
	name     string
	change   func(*seen)
	headline string
	problems string
}{
	{"all well", func(*seen) {}, "ok: db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", ""},
	{"a standby dead", func(s *seen) { s.refuse("db0") },
		"degraded: db0 is down; db1 takes the writes on 3 of 3 proxies; one spare left (db2)", "warning node-down db0"},
	{"the active dead, and left", func(s *seen) { s.lead("db2"); s.refuse("db1") },
		"degraded: db1 is down; db2 takes the writes on 3 of 3 proxies; one spare left (db0)", "warning node-down db1"},
	{"two dead", func(s *seen) { s.refuse("db0", "db2") },
		"degraded: db0 and db2 are down; db1 takes the writes on 3 of 3 proxies; no spare left", "warning node-down db0,warning node-down db2,warning no-spare db1"},
	{"the last one would do, and is excluded", func(s *seen) {
		s.refuse("db0")
		s.Nodes[2].Excluded, s.Active.Excluded = true, []string{"db2"}
	}, "degraded: db0 is down; db1 takes the writes on 3 of 3 proxies; no spare left",
		"warning node-down db0,warning no-spare db1 try haproxyctl include db2,info excluded db2 try haproxyctl include db2"},
	{"no node left", func(s *seen) {
		s.refuse("db0", "db1", "db2")
		s.alert = "db1 is down for 3 of 3 voters and no other node is healthy for more of them: it stays the active"
		s.native("", "px0", "px1", "px2")
	}, "outage: nobody is served: db0, db1 and db2 are down",
		"critical node-down db1,warning node-down db0,warning node-down db2"},
	{"no node left, and fenced for it", func(s *seen) {
		s.refuse("db0", "db1", "db2")
		s.fence("db1 cannot be reached from here: refused", "px0", "px1", "px2")
	}, "outage: nobody is served: db0, db1 and db2 are down",
		"critical node-down db1,critical fenced px0,critical fenced px1,critical fenced px2,warning node-down db0,warning node-down db2"},
	{"no node left, and HAProxy has not noticed", func(s *seen) { s.refuse("db0", "db1", "db2") },
		"outage: nobody is served: db0, db1 and db2 are down",
		"critical node-down db1,warning node-down db0,warning node-down db2"},
	{"no primary component", func(s *seen) {
		s.die("not-primary", "the node is not in the primary component", "db0", "db1", "db2")
		for i := range s.Nodes[2].Opinions {
			s.Nodes[2].Opinions[i].Seqno = 117
		}
	}, "outage: nobody is served: no node is in the primary component",
		"critical no-primary db2 try SET GLOBAL wsrep_provider_options='pc.bootstrap=true',critical node-down db1,warning node-down db0,warning node-down db2"},
	{"no majority, and served", func(s *seen) { s.alone() },
		"degraded: there is no majority; px1 and px2 are not heard; HAProxy works by itself: db1 takes the writes on 1 of 1 proxy; nothing fails over",
		"critical no-majority  try " + recoverAlone + "," + unheard},
	{"no majority, and no usable server", func(s *seen) { s.alone(); s.refuse("db0", "db1", "db2"); s.native("", "px0") },
		"outage: nobody is served: db0, db1 and db2 are down, px1 and px2 are not heard",
		"critical no-majority  try " + recoverAlone + ",critical node-down db1," + unheard + ",warning node-down db0,warning node-down db2"},
	{"no majority, and fenced for it", func(s *seen) { s.alone(); s.fence("no majority of the voters for more than 5s", "px0") },
		"outage: nobody is served: px0 is fenced, px1 and px2 are not heard",
		"critical no-majority  try haproxyctl active set db1 --local-only,critical fenced px0," + unheard},
	{"no majority, by order alone", func(s *seen) {
		s.alone()
		s.native("db0", "px0")
		s.Active.LocalOnly, s.Members[0].Proxy.LocalOnly = "db0", "db0"
	}, "degraded: there is no majority; px0 goes its own way by an operator's order; px1 and px2 are not heard; HAProxy works by itself: db0 takes the writes on 1 of 1 proxy; nothing fails over",
		"critical no-majority  try " + recoverAlone + ",critical local-only px0," + unheard},
	{"the majority's disks lost", func(s *seen) {
		s.Active.Agreed, s.Register.Reason = false, "no leader is known; px1, px2 are here with new disks"
		s.Register.Voters[1].Live, s.Register.Voters[2].Live = false, false
	}, "degraded: there is no majority; HAProxy works by itself: db1 takes the writes on 3 of 3 proxies; nothing fails over",
		"critical no-majority  try haproxyctl register recover --voters px0,px1,px2"},
	{"an election", func(s *seen) {
		s.Active.Agreed, s.Register.Reason, s.silent, s.Members[2].Proxy = false, "no leader is known", []string{"px2"}, nil
	}, "degraded: there is no majority; px2 is not heard; HAProxy works by itself: db1 takes the writes on 2 of 2 proxies; nothing fails over",
		"critical no-majority ,warning member-silent px2"},
	{"one proxy fenced", func(s *seen) { s.fence("db1 cannot be reached from here: refused", "px1") },
		"degraded: px1 is fenced; db1 takes the writes on 2 of 3 proxies; 2 spares (db0, db2)", "critical fenced px1"},
	{"all proxies fenced", func(s *seen) { s.fence("db1 cannot be reached from here: refused", "px0", "px1", "px2") },
		"outage: nobody is served: px0, px1 and px2 are fenced", "critical fenced px0,critical fenced px1,critical fenced px2"},
	{"frozen", func(s *seen) { s.Active.Frozen, s.frozenWhy = true, "moving house" },
		"ok: db1 takes the writes on 3 of 3 proxies; frozen, so nothing moves by itself", "info frozen  try haproxyctl unfreeze"},
	{"frozen, and the active dead", func(s *seen) {
		s.Active.Frozen = true
		s.refuse("db1")
		s.alert = "frozen, and db1 is down for 3 of 3 voters: HAProxy's own checks rule until somebody decides (haproxyctl active set, or unfreeze)"
		s.native("db0", "px0", "px1", "px2")
	}, "degraded: db1 is down; db0 takes the writes on 3 of 3 proxies, and not db1; frozen, so nothing moves by itself",
		"critical node-down db1 try haproxyctl unfreeze,warning not-converged px0,warning not-converged px1,warning not-converged px2,info frozen  try haproxyctl unfreeze"},
	{"a HAProxy hangs", func(s *seen) { s.hang(12*time.Second, "px1") },
		"degraded: the HAProxy of px1 does not answer; db1 takes the writes on 2 of 3 proxies; 2 spares (db0, db2)", "critical haproxy-silent px1"},
	{"all HAProxies hang", func(s *seen) { s.hang(3*time.Minute, "px0", "px1", "px2") },
		"unknown: it cannot be told whether clients are served: the HAProxies of px0, px1 and px2 do not answer",
		"critical haproxy-silent px0,critical haproxy-silent px1,critical haproxy-silent px2"},
	{"one fenced, the others hang", func(s *seen) { s.fence("db1 cannot be reached from here", "px0"); s.hang(time.Second, "px1", "px2") },
		"unknown: it cannot be told whether clients are served: px0 is fenced, the HAProxies of px1 and px2 do not answer",
		"critical fenced px0,critical haproxy-silent px1,critical haproxy-silent px2"},
	{"not looked at yet", func(s *seen) {
		s.Members[1].Proxy = &api.Proxy{Problem: "not looked at yet"}
		s.Active.Converged--
	}, "degraded: the HAProxy of px1 does not answer; db1 takes the writes on 2 of 3 proxies; 2 spares (db0, db2)", "critical haproxy-silent px1"},
	{"not started", func(s *seen) {
		*s = seen{Status: &api.Status{Member: "px0", Active: api.Active{Reason: "no such file"}}, waits: "haproxy.cfg: no such file", file: "haproxy.cfg: no such file"}
	}, "unknown: it cannot be told whether clients are served: haproxy.cfg: no such file", "critical not-started px0"},
	{"a first start", func(s *seen) {
		s.alone()
		s.Active.Active, s.silent, s.Register = "", nil, api.Register{State: "waiting", Reason: "waiting for px1, px2: all initial voters must be there once"}
	}, "degraded: the first start waits for all voters; HAProxy works by itself: db1 takes the writes on 1 of 1 proxy; nothing fails over",
		"warning first-start  try haproxyctl register init --force"},
	{"no record", func(s *seen) {
		s.Active.Active, s.Active.Converged = "", 0
		s.Active.Reason = "the proxies go to different nodes"
		s.native("db0", "px0")
	}, "degraded: no active node is decided yet; HAProxy works by itself: db1 takes the writes on 2, db0 takes the writes on 1 of 3 proxies; nothing fails over",
		"warning not-decided "},
	{"a record that cannot be read", func(s *seen) {
		s.Active = api.Active{Reason: "upgrade it"}
		s.unread = "record cannot be understood: its lowest version is 9 and this daemon reads 2: upgrade it"
	}, "degraded: what is agreed is not known; a newer daemon's record cannot be read; HAProxy works by itself: db1 takes the writes on 3 of 3 proxies; nothing fails over",
		"critical record-unreadable px0"},
	{"a witness alone", func(s *seen) {
		s.alone()
		s.Members[0].Proxy, s.Members[0].Witness, s.Active.Proxies, s.Active.Converged = nil, true, 0, 0
	}, "unknown: it cannot be told whether clients are served: px1 and px2 are not heard", "critical no-majority  try " + recoverAlone + "," + unheard},
	{"a witness, heard by all", func(s *seen) {
		s.Mode, s.Members[2].Witness, s.Members[2].Proxy, s.Active.Proxies, s.Active.Converged = "witness", true, nil, 2, 2
	},
		"ok: db1 takes the writes on 2 of 2 proxies; 2 spares (db0, db2)", ""},
	{"a blind proxy that serves elsewhere", func(s *seen) {
		s.native("db0", "px0")
		s.Nodes[1].Opinions[0].Verdict, s.Nodes[1].Opinions[0].Reason, s.Nodes[1].Healthy, s.Nodes[1].Down = "down", "refused", 2, 1
	}, "degraded: px0 does not follow; db1 is down for some; db1 takes the writes on 2, db0 takes the writes on 1 of 3 proxies; 2 spares (db0, db2)",
		"critical not-converged px0,warning node-disputed db1"},
	{"two of its backends disagree", func(s *seen) {
		s.native("", "px0")
		s.Members[0].Proxy.Problem = "new connections of backend mysqlx go to db0"
	}, "degraded: px0 does not follow; db1 takes the writes on 2, several nodes take them on 1 of 3 proxies; 2 spares (db0, db2)",
		"warning not-converged px0"},
	{"astray", func(s *seen) {
		s.Members[1].Proxy.Astray = []api.Astray{{Backend: "galera-nodes", Server: "db2", Connections: 3}}
	}, "degraded: connections of px1 went elsewhere; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "critical astray px1"},
	{"another address", func(s *seen) { s.Members[1].Proxy.Moved = "server db0 is at 10.0.0.9" },
		"degraded: px1 has another address for a node; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "warning address-differs px1"},
	{"excluded", func(s *seen) { s.Nodes[2].Excluded, s.Active.Excluded = true, []string{"db2"} },
		"ok: db1 takes the writes on 3 of 3 proxies; one spare left (db0)", "info excluded db2 try haproxyctl include db2"},
	{"a donor is no spare", func(s *seen) {
		s.refuse("db0")
		s.Nodes[2].Eligible = false
		for i := range s.Nodes[2].Opinions {
			s.Nodes[2].Opinions[i].Reason = "donor"
		}
	}, "degraded: db0 is down; db1 takes the writes on 3 of 3 proxies; no spare left", "warning node-down db0,warning no-spare db1"},
	{"one only observes", func(s *seen) {
		s.Members[0].Observe, s.Members[0].Proxy.Steering, s.Members[0].Proxy.Problem = true, false, "--observe: this daemon never writes"
	}, "ok: db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "info observes px0"},
	{"all only observe", func(s *seen) {
		for i := range s.Members {
			s.Members[i].Observe = true
		}
	}, "ok: db1 takes the writes on 3 of 3 proxies; the daemons only observe", "info observes px0,info observes px1,info observes px2"},
	{"a move", func(s *seen) {
		s.lead("db2")
		s.Active.Move, s.Active.Converged = &api.Move{From: "db1", To: "db2", Moved: 412, Left: 12}, 0
		for i := range s.Members {
			s.Members[i].Proxy.Converged, s.Members[i].Proxy.Effective = false, "db1"
		}
	}, "ok: the writes move from db1 to db2, 12 of 412 sessions left", ""},
	{"a move, and a proxy that hangs", func(s *seen) {
		s.lead("db2")
		s.Active.Move = &api.Move{From: "db1", To: "db2", Moved: 1, Left: 1}
		s.hang(time.Second, "px1")
	}, "degraded: the HAProxy of px1 does not answer; the writes move from db1 to db2, 1 of 1 session left", "critical haproxy-silent px1"},
	{"lines of haproxy.cfg", func(s *seen) { s.ways = []way{{"/etc/haproxy/haproxy.cfg", "haproxy.cfg:7: use-server"}} },
		"degraded: haproxy.cfg lets connections go elsewhere; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)",
		"warning config-unsafe px0 try haproxyctl config lint /etc/haproxy/haproxy.cfg"},
	{"not steered", func(s *seen) {
		s.Members[2].Proxy.Problem = "the beacon is on and HAProxy does not see it (yet): its server for the beacon is down"
	}, "degraded: px2 is not steered; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "warning not-steered px2"},
	{"much at once", func(s *seen) {
		s.file, s.pods, s.probe, s.lost, s.disk, s.refused = "it does not parse", "kubernetes: no permission", "no node lets it in", "a file is unreadable", "the disk was lost", "refused a message"
		s.peers, s.older = []string{"px9 is a peer in haproxy.cfg and no member now"}, []string{"px2 reads version 1"}
		s.alert = "3 automatic moves within an hour"
	}, "degraded: haproxy.cfg names other peers; a daemon is too old; haproxy.cfg cannot be used; 4 more below; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)",
		"warning peers-differ ,warning older-daemon ,warning config-unusable px0,warning probe-shut-out px0,warning pods-not-watched px0,warning changes-unknown px0,warning alert px0,info disk-lost px0,info foreign-message px0"},
	{"the probe may not log in", func(s *seen) {
		for i := range s.Nodes[2].Opinions {
			o := &s.Nodes[2].Opinions[i]
			o.Verdict, o.Eligible, o.Reason = "unknown", false, "access denied"
		}
		s.Nodes[2].Healthy, s.Nodes[2].Unknown, s.Nodes[2].Eligible = 0, 3, false
	}, "degraded: nobody can tell how db2 is; db1 takes the writes on 3 of 3 proxies; one spare left (db0)", "warning node-unknown db2"},
	{"commits wait", func(s *seen) { s.Nodes[1].Opinions[2].Paused = true },
		"degraded: commits on db1 wait; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "warning node-stalls db1"},
	{"about to end", func(s *seen) { s.Nodes[0].Going = "is shutting down" },
		"ok: db1 takes the writes on 3 of 3 proxies; one spare left (db2)", "info node-going db0"},
	{"a privilege is missing", func(s *seen) {
		for i := range s.Nodes {
			s.Nodes[i].Opinions[0].Lacks = "GRANT PROCESS ON *.* TO 'monitor'@'%'"
		}
	}, "ok: db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "info grant-missing  try GRANT PROCESS ON *.* TO 'monitor'@'%'"},
	{"the figures alone", func(s *seen) { s.Active.Converged = 2 },
		"degraded: px0 does not follow; db1 takes the writes on 3 of 3 proxies; 2 spares (db0, db2)", "warning not-converged px0"},
	{"no node is usable here", func(s *seen) {
		s.native("", "px1")
		for i := range s.Nodes {
			s.Nodes[i].Opinions[1].HAProxy = "down"
		}
	}, "degraded: px1 has no usable node; db1 takes the writes on 2 of 3 proxies; 2 spares (db0, db2)", "critical not-serving px1"},
	{"one node", func(s *seen) { s.Nodes = s.Nodes[1:2] }, "ok: db1 takes the writes on 3 of 3 proxies", ""},
}

func TestJudge(t *testing.T) {
	for _, c := range judgements {
		t.Run(c.name, func(t *testing.T) {
			s := well()
			c.change(s)
			s.judge()
			if got := s.State + ": " + s.Headline; got != c.headline {
				t.Errorf("got  %s\nwant %s", got, c.headline)
			}
			var got []string
			for _, p := range s.Problems {
				line := fmt.Sprintf("%s %s %s%s", p.Severity, p.Code, p.Member, p.Node)
				if p.Next != "" {
					line += " try " + p.Next
				}
				got = append(got, line)
				if p.Text == "" || p.Member != "" && p.Node != "" {
					t.Errorf("%+v", p)
				}
			}
			if text := strings.Join(got, ","); text != c.problems {
				t.Errorf("got  %s\nwant %s", text, c.problems)
			}
		})
	}
}
