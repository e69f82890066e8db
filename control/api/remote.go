package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Remote is a way to daemons on other machines.
type Remote struct {
	// Endpoints are their --admin-bind, https://HOST:PORT, in the order in which they are tried.
	Endpoints []string
	// Cert and Key are the caller's own certificate, CA who signs the daemons'; PEM files. CA is the system's where it is "".
	Cert, Key, CA string
}

// openWithin is how long one endpoint may take to be reached while there is another.
const openWithin = 2 * time.Second

// NewRemote returns a client for daemons elsewhere. The first that can be reached is asked, and asked again as long as it
// can be: an order is sent to another one only where none of it can have arrived. It opens nothing yet.
func NewRemote(r Remote) (*Client, error) {
	config, err := r.tls()
	if err != nil {
		return nil, err
	}
	c := &Client{last: &atomic.Int64{}}
	for _, text := range r.Endpoints {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("endpoint %q: give https://HOST:PORT, the daemon's --admin-bind", text)
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "9104")
		}
		c.ways = append(c.ways, &way{base: "https://" + u.Host, name: "https://" + u.Host, remote: true, http: &http.Client{Transport: &http.Transport{
			TLSClientConfig: config.Clone(), TLSHandshakeTimeout: openWithin, DisableKeepAlives: true,
			DialContext: (&net.Dialer{Timeout: openWithin}).DialContext,
		}}})
	}
	if len(c.ways) == 0 {
		return nil, errors.New("no endpoint: give https://HOST:PORT")
	}
	return c, nil
}

func (r Remote) tls() (*tls.Config, error) {
	if r.Cert == "" || r.Key == "" {
		return nil, errors.New("a daemon elsewhere wants a certificate: give --tls-cert and --tls-key")
	}
	pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", r.Cert, r.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}
	if r.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(r.CA)
	if err != nil {
		return nil, fmt.Errorf("the daemons' CA: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the daemons' CA %s: no certificate in it", r.CA)
	}
	return config, nil
}

// explainRemote turns a failure of the exchange into a sentence that says which endpoint it was and what to do about it.
// shaken: the handshake was complete, so that the request may have arrived, whatever came back.
func (w *way) explainRemote(ctx context.Context, err error, took time.Duration, shaken bool) error {
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch bare := unwrapURL(err); {
	case errors.Is(ctx.Err(), context.Canceled):
		return wayf(ErrNoAnswer, err, "interrupted before %s answered", w.name)
	case errors.As(err, &unknown):
		return wayf(ErrUnreachable, err, "the certificate of %s is of a CA that is not known here: name it with --tls-ca", w.name)
	case errors.As(err, &name), errors.As(err, &invalid):
		return wayf(ErrUnreachable, err, "the certificate of %s cannot be believed: %v", w.name, bare)
	// An alert on the certificate: the handshake has failed there, which this side of TLS 1.3 learns after its own end of it, and
	// nothing was read. Other alerts may come later, of what somebody on the way has spoilt.
	case op != nil && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate"):
		return wayf(ErrUnreachable, err, "%s refuses this certificate (%v): is it signed by its --admin-tls-client-ca, and not expired?", w.name, bare)
	case !shaken && (errors.As(err, &header) || errors.Is(err, http.ErrSchemeMismatch)):
		return wayf(ErrUnreachable, err, "%s speaks no TLS: is that its --admin-bind?", w.name)
	case dialing, !shaken && strings.Contains(bare.Error(), "TLS handshake timeout"):
		return wayf(ErrUnreachable, err, "%s cannot be reached (%v)", w.name, bare)
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		return wayf(ErrNoAnswer, err, "%s did not answer within %s: it hangs or is overloaded; see its log and /healthz", w.name, told(took))
	default:
		return wayf(ErrNoAnswer, err, "the answer of %s broke off (%v): it stopped meanwhile; look at its log, then try again", w.name, bare)
	}
}

// answerWithin is how long one endpoint may take for an answer while there is another.
const answerWithin = 3 * time.Second

// next tells whether another way may be tried after this error: a question may be asked twice, an order only where none of
// it can have arrived.
func next(method string, err error) bool {
	return errors.Is(err, ErrUnreachable) || method == http.MethodGet && errors.Is(err, ErrNoAnswer)
}

// together is one sentence of why none of several ways was one.
func together(all []error) error {
	if len(all) == 1 {
		return all[0]
	}
	var texts []string
	for _, err := range all {
		texts = append(texts, err.Error())
	}
	return wayf(ErrUnreachable, errors.Join(all...), "none of the %d endpoints can be asked: %s", len(all), strings.Join(texts, "; "))
}
