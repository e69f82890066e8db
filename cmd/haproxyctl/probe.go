package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// probe looks at a node from here, as the daemon would.
func (a *app) probe(ctx context.Context, o checkOptions, address string) checked {
	cfg := galera.OnceConfig{Address: address}
	hint, hintErr := api.ReadCheckHint(a.way.socket)
	if hintErr == nil {
		cfg.Account = conn.Account{User: hint.User, PasswordFile: hint.PasswordFile}
		cfg.ExpectUUID = hint.StateUUID
		cfg.SSL = conn.SSL{Mode: conn.SSLMode(hint.SSLMode), CA: hint.SSLCA, Cert: hint.SSLCert, Key: hint.SSLKey}
	}
	if o.user != "" {
		cfg.Account = conn.Account{User: o.user, PasswordFile: o.passwordFile}
	}
	// Whoever says anything of TLS says all of it.
	if o.ssl != (conn.SSL{}) {
		cfg.SSL = o.ssl
	}
	// What is wrong with that must not take every node down: then the greeting counts.
	sslErr := errors.Join(o.sslErr, cfg.SSL.Validate())
	if sslErr != nil {
		cfg.Account = conn.Account{}
	}
	c := checked{By: "haproxyctl"}
	g, err := galera.Once(ctx, cfg)
	if err != nil {
		c.Verdict, c.Reason = "unknown", oneLine(err.Error())
		return c
	}
	c.Usable, c.Verdict, c.Reason = glanceAt(g)
	if sslErr != nil {
		c.Reason += " (" + oneLine(sslErr.Error()) + ")"
	}
	if cfg.Account.User == "" && hintErr != nil && !errors.Is(hintErr, fs.ErrNotExist) {
		c.Reason += " (" + oneLine(hintErr.Error()) + ")"
	}
	return c
}

// glanceAt says what a glance means for HAProxy. When the probe's own account is
// missing or refused, the greeting counts: a rotated password must not take every
// node down.
func glanceAt(g galera.Glance) (usable bool, verdict, reason string) {
	switch {
	case g.Kind == galera.KindHealthy || g.Kind == galera.KindDegraded:
		return true, "healthy", g.Reason
	case g.Kind == galera.KindDown:
		return false, "down", g.Reason
	case g.Greeted:
		return true, "unknown", "it greets, and only that counts: " + oneLine(g.Reason)
	}
	return false, "unknown", oneLine(g.Reason)
}
