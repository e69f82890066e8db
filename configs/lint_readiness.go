package configs

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// readiness finds health checks and readiness answers that hang on the daemon or on the database. A daemon that is
// stopped, upgraded or broken must take no HAProxy out of service, and a database outage must not make Kubernetes
// restart or empty the HAProxies.
func (l *linter) readiness() {
	daemon := l.daemonBackends()
	for _, b := range l.t.Backends {
		if !daemon[b.Name] {
			l.serverChecks(b, daemon)
		}
	}
	for _, f := range l.t.Frontends {
		l.frontendReadiness(f, daemon)
	}
}

// daemonBackends are the beacon's, any that asks for /beacon, and any whose servers are all at the daemon's address.
func (l *linter) daemonBackends() map[string]bool {
	out := map[string]bool{}
	if st := l.t.Steering; st != nil {
		out[st.BeaconBackend] = true
		if st.AliveBackend != "" {
			out[st.AliveBackend] = true
		}
	}
	for _, b := range l.t.Backends {
		for _, d := range b.section.all("option", "httpchk") {
			if slices.Contains(d.words[2:], "/beacon") {
				out[b.Name] = true
			}
		}
	}
	for _, b := range l.t.Backends {
		another := func(s Server) bool { return !l.isDaemon(s.Host, s.Port, out) }
		if len(b.Servers) > 0 && !slices.ContainsFunc(b.Servers, another) {
			out[b.Name] = true
		}
	}
	return out
}

// serverChecks finds servers whose state is the daemon's: by `track`, or by a check of the daemon's address.
func (l *linter) serverChecks(b Backend, daemon map[string]bool) {
	const why = "stopping or upgrading the daemon would take the node down on this HAProxy"
	for _, s := range b.Servers {
		if tracked, _, _ := strings.Cut(s.opts["track"], "/"); daemon[tracked] {
			l.add(s.Pos, SeverityError, RuleReadinessOnDaemon, fmt.Sprintf("server %s/%s tracks %s", b.Name, s.Name, s.opts["track"]), why, "check the node itself")
		}
		for _, kind := range []struct{ on, addr, port string }{{"check", "addr", "port"}, {"agent-check", "agent-addr", "agent-port"}} {
			if !s.opts.has(kind.on) {
				continue
			}
			host, port := s.Host, s.Port
			if h := s.opts[kind.addr]; h != "" {
				host, _, _ = cutAddress(h)
			}
			if n, err := strconv.Atoi(s.opts[kind.port]); err == nil {
				port = n
			}
			if l.isDaemon(host, port, daemon) {
				l.add(s.Pos, SeverityError, RuleReadinessOnDaemon,
					fmt.Sprintf("the %s of server %s/%s asks the daemon at %s", kind.on, b.Name, s.Name, net.JoinHostPort(host, strconv.Itoa(port))), why, "check the node itself")
			}
		}
	}
}

func (l *linter) isDaemon(host string, port int, daemon map[string]bool) bool {
	for _, b := range l.t.Backends {
		if !daemon[b.Name] {
			continue
		}
		for _, s := range b.Servers {
			if port != 0 && s.Port == port && sameHost(s.Host, host) {
				return true
			}
		}
	}
	return false
}

func (l *linter) frontendReadiness(f Frontend, daemon map[string]bool) {
	for _, d := range f.section.dirs {
		switch {
		case d.has("monitor", "fail"):
			l.condition(f, d, "the answer of monitor-uri", daemon, true)
		case d.word(0) == "tcp-request" && (strings.HasPrefix(d.word(2), "reject") || d.word(2) == "silent-drop"),
			d.word(0) == "http-request" && refuses(d.word(1)):
			l.condition(f, d, "a rule that refuses", daemon, false)
		case d.word(0) == "http-request" && d.word(1) == "return":
			l.condition(f, d, "an http-request return", daemon, true)
		}
	}
	if f.Mode != "http" {
		return
	}
	for _, name := range append([]string{f.DefaultBackend}, f.UseBackends...) {
		if daemon[name] {
			l.add(f.Pos, SeverityError, RuleReadinessOnDaemon, fmt.Sprintf("frontend %s answers from the daemon (backend %s)", f.Name, name),
				"a probe that comes this way fails whenever the daemon is stopped or upgraded: a bad rollout empties the Service",
				"answer with `monitor-uri`, failing only while fenced")
			return
		}
	}
}

func refuses(action string) bool {
	return action == "deny" || action == "reject" || action == "tarpit" || action == "silent-drop"
}

// condition judges the condition of a rule that makes HAProxy unready or refuse. It may ask for the daemon only in a
// way that a dead daemon cannot make true: the fence, which needs srv_is_up of the daemon itself. health says that the
// rule is an answer to a probe, which must not ask for the database either.
func (l *linter) condition(f Frontend, d directive, what string, daemon map[string]bool, health bool) {
	c, unless, found := parseClause(f.section, d.words)
	if !found {
		return
	}
	for _, group := range c {
		var asksDaemon, asksDatabase string
		lifts := false
		for _, t := range group {
			if be, _, ok := t.srvUp(f.section); ok && daemon[be] && !t.neg && !unless {
				lifts = true
			}
			for _, be := range t.mentions(f.section) {
				if daemon[be] {
					asksDaemon = be
				} else {
					asksDatabase = be
				}
			}
		}
		if asksDaemon != "" && !lifts {
			l.add(d.pos, SeverityError, RuleReadinessOnDaemon, fmt.Sprintf("%s in frontend %s depends on the daemon (%s)", what, f.Name, asksDaemon),
				"a daemon that is stopped, upgraded or broken would take this HAProxy out of service",
				"let it fail only while fenced: `if { int(2),in_table(PRIVATE) } { srv_is_up(ALIVE/local) }`")
		}
		if health && asksDatabase != "" {
			l.add(d.pos, SeverityWarning, RuleReadinessOnDatabase, fmt.Sprintf("%s in frontend %s depends on the database (%s)", what, f.Name, asksDatabase),
				"a database outage makes every HAProxy unready or restarted at once, and what comes back finds empty tables",
				"answer for HAProxy alone; clients see the database's state by connecting")
		}
	}
}
