package admin

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// Roles that a certificate can have: organizations (O) in its subject.
const (
	// RoleViewer may ask.
	RoleViewer = "haproxyd-viewer"
	// RoleOperator may ask and give orders.
	RoleOperator = "haproxyd-operator"
)

// longestName bounds the name in a certificate, in characters, as X.509 does.
const longestName = 64

type remoteKey struct{}

// Remote serves the admin API to who comes from elsewhere with a certificate: its subject's common name is who gives an
// order, an organization of it what may be done.
func (s *Server) Remote() http.Handler {
	private := s.Private()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			writeError(w, &api.Error{Code: api.CodeForbidden, Message: "no certificate was shown"}) // the listener lets nobody in without one
			return
		}
		cert := r.TLS.VerifiedChains[0][0]
		name, may, err := known(cert)
		if err != nil {
			s.cfg.Log.Warn("a certificate was refused", "subject", printable(cert.Subject.String()), "from", r.RemoteAddr, "why", err.Error())
			writeError(w, &api.Error{Code: api.CodeForbidden, Message: err.Error()})
			return
		}
		by := name + " (certificate, from " + serving.Host(r.RemoteAddr) + ")"
		if r.Method != http.MethodGet && r.Method != http.MethodHead && may != RoleOperator {
			s.cfg.Log.Warn("an order was refused", "path", printable(r.URL.Path), "ordered_by", by, "why", "the certificate is a viewer's")
			writeError(w, &api.Error{Code: api.CodeForbidden, Message: fmt.Sprintf("%s may look and give no orders: its certificate has O=%s, and orders need O=%s", name, RoleViewer, RoleOperator)})
			return
		}
		private.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), remoteKey{}, by)))
	})
}

// known is whom a certificate names, and as what.
func known(cert *x509.Certificate) (name, role string, err error) {
	name = cert.Subject.CommonName
	if name == "" || name != printable(name) {
		return "", "", fmt.Errorf("the certificate's common name (CN) is %q: it must name who gives an order, in at most %d characters that can be shown", printable(name), longestName)
	}
	for _, o := range cert.Subject.Organization {
		switch o {
		case RoleOperator:
			return name, RoleOperator, nil
		case RoleViewer:
			role = RoleViewer
		}
	}
	if role == "" {
		return "", "", fmt.Errorf("the certificate of %s says not what it may do: its organization (O) must be %s or %s", name, RoleViewer, RoleOperator)
	}
	return name, role, nil
}

// printable is a text without what cannot be shown, and not longer than a name may be.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if all := []rune(text); len(all) > longestName {
		return string(all[:longestName])
	}
	return text
}

// remoteBounds are those of the admin API for who comes from elsewhere.
func (s *Server) remoteBounds() (serving.Options, error) {
	o := adminBounds(s.cfg.Log)
	var err error
	o.TLS, err = s.cfg.AdminCerts.TLS(s.cfg.Log)
	return o, err
}
