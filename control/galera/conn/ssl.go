package conn

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

// SSLMode is how a connection to a database is encrypted, in the words of MySQL's own
// clients (MySQL 8.0 Reference Manual, "--ssl-mode").
type SSLMode string

// The modes. Whatever is encrypted has TLS 1.2 at least.
const (
	// SSLDisabled never encrypts.
	SSLDisabled SSLMode = "DISABLED"
	// SSLPreferred encrypts where the server offers it, and goes without where that fails.
	// It is the default.
	SSLPreferred SSLMode = "PREFERRED"
	// SSLRequired encrypts or fails. Who the server is, is not checked.
	SSLRequired SSLMode = "REQUIRED"
	// SSLVerifyCA also demands that the server's certificate is of the CA.
	SSLVerifyCA SSLMode = "VERIFY_CA"
	// SSLVerifyIdentity also demands that it has the host's name, as it stands in the node's
	// address, among its subjectAltNames.
	SSLVerifyIdentity SSLMode = "VERIFY_IDENTITY"
)

// SSLModes are all modes.
var SSLModes = []SSLMode{SSLDisabled, SSLPreferred, SSLRequired, SSLVerifyCA, SSLVerifyIdentity}

// SSL says how connections are encrypted. The files are PEM and are read for every
// connection, as the password is, so that renewed ones need no signal.
type SSL struct {
	// Mode is one of SSLModes; "" is SSLPreferred.
	Mode SSLMode
	// CA holds the certificates that SSLVerifyCA and SSLVerifyIdentity go by. Other modes
	// do not look at it.
	CA string
	// Cert and Key are the client's, for accounts that REQUIRE one; both or neither.
	Cert, Key string
}

// Set takes a word, in any case of letters, as a flag does.
func (m *SSLMode) Set(word string) error {
	mode := SSLMode(strings.ToUpper(word))
	if !slices.Contains(SSLModes, mode) {
		return fmt.Errorf("%q is no mode of TLS: give DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY", word)
	}
	*m = mode
	return nil
}

// String is the word itself, "PREFERRED" for none.
func (m SSLMode) String() string {
	return string(cmp.Or(m, SSLPreferred))
}

// Type names the kind of value in a flag's help.
func (SSLMode) Type() string { return "mode" }

// Validate reports what contradicts itself. It does not look at the files: one
// that is missing now may be there at the next connection.
func (c SSL) Validate() error {
	var errs []error
	mode := c.mode()
	switch {
	case !slices.Contains(SSLModes, mode):
		errs = append(errs, fmt.Errorf("galera: %w", mode.Set(string(mode))))
	case mode.verifies() && c.CA == "":
		errs = append(errs, fmt.Errorf("galera: %s checks the server's certificate by a CA: give --probe-ssl-ca", mode))
	}
	if (c.Cert == "") != (c.Key == "") {
		errs = append(errs, errors.New("galera: a client certificate and its key belong together: give --probe-ssl-cert and --probe-ssl-key, or neither"))
	}
	return errors.Join(errs...)
}

// Unchecked tells that a CA is given and the mode does not look at it.
func (c SSL) Unchecked() bool { return c.CA != "" && !c.mode().verifies() }

func (c SSL) mode() SSLMode {
	return cmp.Or(c.Mode, SSLPreferred)
}

func (m SSLMode) verifies() bool { return m == SSLVerifyCA || m == SSLVerifyIdentity }

// encrypts tells whether a session is to be encrypted on a server that offers it or does not.
func (o Opening) encrypts(offered bool) bool {
	switch o.SSL.mode() {
	case SSLDisabled:
		return false
	case SSLPreferred:
		return offered && !o.plain
	}
	return true
}

// TLSError says that a connection could not be encrypted as the mode wants it. It says
// nothing of the node: its clients may not use TLS at all.
type TLSError struct {
	Mode SSLMode
	Err  error
}

func (e *TLSError) Error() string { return "TLS with the node fails: " + e.Err.Error() }

// Unwrap returns what TLS, or the file system, says.
func (e *TLSError) Unwrap() error { return e.Err }

// Advice says what to do.
func (e *TLSError) Advice() string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	said := " (" + PlainText(e.Err.Error(), 300) + ")"
	switch {
	case errors.Is(e.Err, errNoTLS):
		return "the node does not offer TLS, which --probe-ssl-mode " + e.Mode.String() + " demands: give it a certificate, or use PREFERRED"
	case errors.As(e.Err, &authority):
		return "the node's certificate is not of the CA in --probe-ssl-ca: add the CA that signed it there" + said
	case errors.As(e.Err, &name):
		return "the node's certificate does not have the name that haproxy.cfg knows the node by: issue one with it as a subjectAltName, or use VERIFY_CA" + said
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return "the node's certificate has expired or is not valid yet: renew it" + said
	case strings.Contains(e.Err.Error(), "protocol version"): // crypto/tls has no type for it
		return "the node does not speak TLS 1.2 or 1.3, and older versions are not used: set its tls_version, or use PREFERRED" + said
	}
	return "the probe cannot encrypt its connection to the node: compare --probe-ssl-mode and its files with what the node wants" + said
}

var (
	errNoTLS     = errors.New("the server does not offer it")
	errNotWanted = errors.New("--probe-ssl-mode is DISABLED")
)

// encrypt makes TLS on the connection. Where the session may do without, it leaves
// time for that.
func (s *Session) encrypt(conn net.Conn, host string, o Opening) (*tls.Conn, error) {
	c := o.SSL
	cfg, err := c.config(host)
	if err != nil {
		return nil, &TLSError{Mode: c.mode(), Err: err}
	}
	if c.mode() == SSLPreferred {
		all := s.wire.Left
		s.wire.Left /= 2
		rest := all - s.wire.Left
		defer func() {
			if s.wire.Left += rest; o.Apart {
				s.wire.Left = all
			}
		}()
	}
	over := tls.Client(conn, cfg)
	if err := over.Handshake(); err != nil {
		return nil, &TLSError{Mode: c.mode(), Err: err}
	}
	return over, nil
}

// config is what crypto/tls wants for a connection to that host.
func (c SSL) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		// The modes have rules of their own: see verify.
		InsecureSkipVerify: true,
	}
	if c.Cert != "" {
		pair, err := keyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be used: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if !c.mode().verifies() {
		return cfg, nil
	}
	raw, _, err := safefile.Read(c.CA) // who writes it says who the database is
	if err != nil {
		return nil, fmt.Errorf("the CA cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s has no certificate in PEM", c.CA)
	}
	name := ""
	if c.mode() == SSLVerifyIdentity {
		name = host
	}
	cfg.VerifyConnection = func(state tls.ConnectionState) error { return verify(state, roots, name) }
	return cfg, nil
}

// keyPair reads a certificate and its key, which nobody else may write.
func keyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, _, err := safefile.Read(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// verify checks a server's certificate by the roots and, if there is one, for the name.
func verify(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}
