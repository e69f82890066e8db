package admin

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
)

// A viewer may look, an operator may order, and the order bears the certificate's name; who is neither gets nothing.
func TestRemoteRoles(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	own := ca.Server("own", "127.0.0.1")
	s, f := newTestServer(t, func(c *Config) {
		c.AdminBind, c.AdminCerts = "127.0.0.1:0", serving.Certificates{Cert: own.Cert, Key: own.Key, ClientCA: ca.File}
	})
	f.Set(func(ag *cluster.Agreement) {
		r, err := model.DecodeRecord(ag.Record.Value)
		if err != nil {
			t.Fatal(err)
		}
		r.Lowest = 2 // orders are kept
		ag.Record.Value = r.Encode()
	})
	s.cfg.Vote.Turn(t.Context(), time.Now())
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	as := func(file, name string, organizations ...string) *api.Client {
		t.Helper()
		pair := ca.Client(file, name, organizations...)
		c, err := api.NewRemote(api.Remote{Endpoints: []string{"https://" + s.remote[0].Addr().String()}, Cert: pair.Cert, Key: pair.Key, CA: ca.File})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	forbidden := func(name string, err error, want string) {
		t.Helper()
		var refusal *api.Error
		if !errors.As(err, &refusal) || refusal.Code != api.CodeForbidden || !strings.Contains(refusal.Message, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	viewer := as("vi", "vi", "somebody", RoleViewer)
	if a, err := viewer.Active(t.Context()); err != nil || a.Active != "pxc-1" {
		t.Errorf("a viewer sees %+v, %v", a, err)
	}
	_, err := viewer.Freeze(t.Context(), "")
	forbidden("a viewer's order", err, "vi may look and give no orders")
	_, err = as("none", "none", "somebody").Active(t.Context())
	forbidden("no role", err, "must be haproxyd-viewer or haproxyd-operator")
	_, err = as("nameless", "", RoleOperator).Active(t.Context())
	forbidden("no name", err, "common name")

	if a, err := as("ana", "ana", RoleViewer, RoleOperator).Freeze(t.Context(), "a look"); err != nil || !a.Frozen {
		t.Errorf("an operator's order: %+v, %v", a, err)
	}
	if o := f.Record(t).Orders; len(o) == 0 || o[0].OrderedBy != "ana (certificate, from 127.0.0.1)" || o[0].Reason != "a look" {
		t.Errorf("the record has %+v", o)
	}
}

// Whatever a certificate says is shown as text that can be read, or is refused.
func TestKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		subject pkix.Name
		role    string
	}{
		"operator": {pkix.Name{CommonName: "ana", Organization: []string{RoleOperator}}, RoleOperator},
		"both":     {pkix.Name{CommonName: "ana", Organization: []string{RoleViewer, RoleOperator}}, RoleOperator},
		"viewer":   {pkix.Name{CommonName: "Ana Müller", Organization: []string{RoleViewer}}, RoleViewer},
		"a unit":   {pkix.Name{CommonName: "ana", OrganizationalUnit: []string{RoleOperator}}, ""},
		"nobody":   {pkix.Name{Organization: []string{RoleOperator}}, ""},
		"lines":    {pkix.Name{CommonName: "ana\nroot", Organization: []string{RoleOperator}}, ""},
		"no text":  {pkix.Name{CommonName: "ana\x1b[2J\xff", Organization: []string{RoleOperator}}, ""},
		"long":     {pkix.Name{CommonName: strings.Repeat("a", longestName+1), Organization: []string{RoleOperator}}, ""},
		"alike":    {pkix.Name{CommonName: "ana", Organization: []string{RoleOperator + " "}}, ""},
	} {
		got, role, err := known(&x509.Certificate{Subject: tt.subject})
		if role != tt.role || (err == nil) != (tt.role != "") || err == nil && got != tt.subject.CommonName {
			t.Errorf("%s: %q, %q, %v", name, got, role, err)
		}
		if err != nil && (!utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x1b")) {
			t.Errorf("%s: %q", name, err)
		}
	}
}

// Without a certificate the handler itself says no: it must not depend on who listens.
func TestRemoteWithoutTLS(t *testing.T) {
	s, _ := newTestServer(t)
	w := httptest.NewRecorder()
	s.Remote().ServeHTTP(w, httptest.NewRequest(http.MethodGet, api.PathStatus, http.NoBody))
	if w.Code != http.StatusForbidden {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}
