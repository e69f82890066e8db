package e2e

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// adoptShape is a haproxy.cfg as somebody has it, in the lab. The writers' backend is galera-nodes everywhere.
type adoptShape struct {
	name string
	// text is the file of a proxy, without its global and defaults sections; all where it has all of it.
	text func(s *scenario, p *lab.Proxy) string
	all  bool
	// balances: without the daemon connections go to any node where no table is known, so that nothing is promised for the way back.
	balances bool
	// first are the global and defaults sections in a file of their own, before the other one.
	first bool
	// master: a master process with workers, as systemd and Percona's image start it.
	master bool
	// args are given to `config adopt`; proxies: --proxies with all of them as well.
	args    []string
	proxies bool
}

const adoptDefaults = `defaults
	mode tcp
	timeout connect 3s
	timeout client 1h
	timeout server 1h
	retries 1
`

func adoptGlobal(p *lab.Proxy) string {
	return fmt.Sprintf("global\n\tstats socket %s mode 600 level admin\n\tmaxconn 2000\n", p.AdminSocket)
}

// peersOf is a peers section with all proxies.
func (s *scenario) peersOf(name string) string {
	text := "peers " + name + "\n"
	for _, p := range s.PX {
		text += fmt.Sprintf("\tpeer %s %s:10000\n", p.Name, p.IP)
	}
	return text
}

// serversOf are server lines for all nodes; the first one has the first parameters, the others have the others.
func (s *scenario) serversOf(first, others string) (text string) {
	for i, n := range s.DB {
		text += fmt.Sprintf("\tserver %s %s %s\n", n.Name, n.Address(), []string{first, others}[min(i, 1)])
	}
	return text
}

var adoptShapes = []adoptShape{
	{name: "as Percona's own: a main server and backups", proxies: true, master: true, text: func(s *scenario, p *lab.Proxy) string {
		return fmt.Sprintf("frontend galera-in\n\tbind %s:3306\n\tdefault_backend galera-nodes\nbackend galera-nodes\n\tbalance roundrobin\n", p.IP) +
			s.serversOf("check inter 1000 rise 1 fall 2 weight 1 on-marked-up shutdown-backup-sessions", "check inter 1000 rise 1 fall 2 weight 1 backup") +
			fmt.Sprintf("frontend galera-replica-in\n\tbind %s:3307\n\tdefault_backend galera-replica-nodes\nbackend galera-replica-nodes\n\tbalance roundrobin\n", p.IP) +
			s.serversOf("check inter 1000", "check inter 1000")
	}},
	{name: "a listen with leastconn, tabs, comments and servers without a check", proxies: true, text: func(s *scenario, p *lab.Proxy) string {
		return fmt.Sprintf("\n# --- the database ---\nlisten galera-nodes # all of it\n\tbind\t%s:3306\t# writers\n\tbalance\tleastconn\n\toption\ttcpka\n\n", p.IP) +
			s.serversOf("weight 10\t# first", "backup")
	}},
	{name: "a table of one entry", text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("mypeers") + fmt.Sprintf("listen galera-nodes\n\tbind %s:3306\n\tstick-table type integer size 1 peers mypeers\n\tstick on int(1)\n", p.IP) +
			s.serversOf("check inter 1000 on-marked-down shutdown-sessions", "check inter 1000 backup on-marked-down shutdown-sessions")
	}},
	{name: "a table that forgets and never purges", text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("lbs") + fmt.Sprintf("listen galera-nodes\n\tbind %s:3306\n\tstick on int(1)\n\tstick-table type integer size 200 nopurge expire 30m peers lbs\n\toption persist\n", p.IP) +
			s.serversOf("check inter 1000", "check inter 1000 backup")
	}},
	{name: "sticks on the frontend's name, in a table that nobody shares", text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("lbs") + fmt.Sprintf("frontend galera-in\n\tbind %s:3306\n\tdefault_backend galera-nodes\nbackend galera-nodes\n\tstick-table type string len 32 size 10k\n\tstick on fe_name\n", p.IP) +
			s.serversOf("check inter 1000", "check inter 1000 backup")
	}},
	{name: "sticks on the address, all servers backup", text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("ctl") + fmt.Sprintf("listen galera-nodes\n\tbind %s:3306 transparent\n\tstick on dst\n\tstick-table type ip size 1000 peers ctl\n", p.IP) +
			s.serversOf("backup check inter 1s on-marked-down shutdown-sessions", "backup check inter 1s on-marked-down shutdown-sessions")
	}},
	{name: "sticks, and has no backup", balances: true, text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("mypeers") + fmt.Sprintf("listen galera-nodes\n\tbind %s:3306\n\tbalance leastconn\n\tstick-table type integer size 100k peers mypeers\n\tstick on int(1)\n", p.IP) +
			s.serversOf("check inter 1000", "check inter 1000")
	}},
	{name: "the table in a section of its own, by a string", text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("mypeers") + "backend tables\n\tstick-table type string len 64 size 5000 peers mypeers\n" +
			fmt.Sprintf("listen galera-nodes\n\tbind %s:3306\n\tstick match str(db) table tables\n\tstick store-request str(db) table tables\n", p.IP) +
			s.serversOf("check inter 1000", "check inter 1000 backup")
	}},
	{name: "a shop beside it, named defaults, options that pass the table", all: true, proxies: true, args: []string{"--backends", "galera-nodes"}, text: func(s *scenario, p *lab.Proxy) string {
		return adoptGlobal(p) + strings.Replace(adoptDefaults, "defaults\n\tmode tcp", "defaults web\n\tmode http", 1) +
			strings.Replace(adoptDefaults, "defaults\n", "defaults db\n\toption allbackups\n\toption persist\n\tdefault-server check inter 1000 port 3306 on-marked-up shutdown-backup-sessions\n", 1) +
			fmt.Sprintf("frontend www from web\n\tbind %s:8080\n\tdefault_backend shop\nbackend shop from web\n\tserver w1 127.0.0.1:1\n\tserver w2 127.0.0.1:2\n", p.IP) +
			fmt.Sprintf("frontend galera-in from db\n\tbind %s:3306\n\ttcp-request connection accept if { src 10.0.0.0/8 }\n\tdefault_backend galera-nodes\nbackend galera-nodes from db\n", p.IP) +
			s.serversOf("", "backup")
	}},
	{name: "two files, and names that are taken", first: true, text: func(s *scenario, p *lab.Proxy) string {
		return s.peersOf("self") + "backend haproxyd\n\tmode http\n\tserver somebody 127.0.0.1:1\n" +
			fmt.Sprintf("listen galera-nodes\n\tbind %s:3306\n\tstick-table type integer size 100k peers self\n\tstick on int(1)\n", p.IP) +
			s.serversOf("id 7 check inter 1000", "check inter 1000 backup")
	}},
	{name: "lines that end as on Windows, and variables", text: func(s *scenario, p *lab.Proxy) string {
		text := s.peersOf("mypeers") + fmt.Sprintf("listen galera-nodes\n\tbind \"%s:3306\" name 'the # writers'\n\tstick-table type integer size 100k peers mypeers\n\tstick match int(1)\n\tstick store-request int(1)\n", p.IP) +
			s.serversOf(`check inter 1000 weight "${WEIGHT-10}"`, "check inter 1000 backup")
		return strings.ReplaceAll(text, "\n", "\r\n")
	}},
}

// write gives a proxy's file of this shape, and the one before it ("" for none).
func (a adoptShape) write(s *scenario, p *lab.Proxy) (text, firstFile, firstText string) {
	text = a.text(s, p)
	head := adoptGlobal(p) + adoptDefaults
	switch {
	case a.first:
		return text, filepath.Join(p.Dir, "global.cfg"), head
	case a.all:
		return text, "", ""
	}
	if strings.Contains(text, "\r\n") {
		head = strings.ReplaceAll(head, "\n", "\r\n")
	}
	return head + text, "", ""
}
