package configs

import (
	"fmt"
	"slices"
	"strings"
)

// TwoProxiesWhy and TwoProxiesFix say what one death means to an installation with two HAProxies and without a witness, and
// how it gets one.
const (
	TwoProxiesWhy = "when one of the two dies no majority is left, nothing is decided, and HAProxy goes on by its own checks and stickiness"
	TwoProxiesFix = "run a third voter on another host: `haproxyd --witness --name NAME --haproxy-cfg COPY`, with a copy of one's haproxy.cfg, the same gossip key and the same probe account"
)

// twoProxies is for the peers of a native table, who are the first voters.
func (l *linter) twoProxies(p PeersSection) {
	if len(p.Peers) != 2 {
		return
	}
	l.add(p.Pos, SeverityWarning, RuleTwoProxies,
		fmt.Sprintf("there are two HAProxies, %s and %s, and no haproxy.cfg tells whether there is a witness", p.Peers[0].Name, p.Peers[1].Name),
		"without one, "+TwoProxiesWhy, TwoProxiesFix)
}

// peersClear finds the peers sections that speak, or listen, without TLS on an address that other machines may reach.
//
// HAProxy asks who connects as a peer for a name that it knows and for nothing else (src/peers.c, peer_treat_hellomsg): in
// the clear whoever knows a peer's name writes the stick-tables. `default-bind` and `default-server` are for the lines of
// the section that follow, `bind` and `server` for one (configuration manual 3.5, "Peers").
func (l *linter) peersClear() {
	for _, s := range l.t.sections {
		if s.kind != "peers" || len(s.all("disabled")) > 0 {
			continue
		}
		bindTLS, serverTLS := inClear, inClear // of the lines that follow
		var first Position
		var lines []string
		found := func(d directive, what string) {
			if len(lines) == 0 {
				first = d.pos
			}
			lines = append(lines, what)
		}
		for _, d := range s.dirs {
			address, words := d.word(1), 2 // of a bind line
			listens := d.word(0) == "bind"
			if d.word(0) == "peer" || d.word(0) == "server" {
				address, words = d.word(2), 3
				listens = d.word(1) == l.t.LocalPeer
			}
			switch d.word(0) {
			case "default-bind":
				bindTLS = bindTLS.line(d.words[1:])
				continue
			case "default-server":
				serverTLS = serverTLS.line(d.words[1:])
				continue
			case "bind", "peer", "server":
			default:
				continue
			}
			if len(d.words) < words || onThisMachine(d, address) {
				continue
			}
			switch {
			case !listens && serverTLS.line(d.words[words:]) == inClear:
				found(d, "speaks with "+d.word(1)+" in the clear")
			case listens && bindTLS.line(d.words[words:]) == inClear:
				found(d, "listens at "+address+" in the clear")
			case listens && bindTLS.line(d.words[words:]) == anybody:
				found(d, "asks nobody at "+address+" for a certificate")
			}
		}
		if len(lines) > 0 {
			l.add(first, SeverityWarning, RulePeersClear, fmt.Sprintf("the peers section %s %s", s.name, strings.Join(lines, ", ")),
				"whoever reaches such a port and knows a peer's name can write the stick-tables, and HAProxy had memory faults there that such a host could use (mended in 2026)",
				"add `default-bind ssl crt CERT ca-file CA verify required` and `default-server ssl crt CERT ca-file CA verify required` before the peers (`haproxyctl config render --peers-cert CERT --peers-ca CA`), and close the port to all but the HAProxies")
		}
	}
}

// trust is what a line of a peers section asks of the other side.
type trust int

const (
	inClear trust = iota // nothing
	anybody              // TLS, from whomever
	checked              // TLS and a certificate
)

// line gives what the words of a line make of it.
func (t trust) line(words []string) trust {
	if slices.Contains(words, "no-ssl") {
		return inClear
	}
	if t == inClear && slices.Contains(words, "ssl") {
		t = anybody
	}
	if i := slices.Index(words, "verify"); t != inClear && i >= 0 && i+1 < len(words) {
		t = anybody
		if words[i+1] == "required" {
			t = checked
		}
	}
	return t
}

// onThisMachine tells whether nobody else reaches an address: loopback, or a socket in the file system.
func onThisMachine(d directive, address string) bool {
	address, _ = expandAddress(address, d.env)
	for _, prefix := range []string{"abns@", "abnsz@", "sockpair@", "fd@"} {
		if strings.HasPrefix(address, prefix) {
			return true
		}
	}
	host, _, unix := cutAddress(address)
	return unix || loopback(host)
}
