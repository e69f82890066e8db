package galera

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake speaks the server's half of the protocol, and says what it is told to.
type fake struct {
	net.Conn
	seq byte
	buf [8 << 10]byte
}

// greeting offers what MariaDB 10.11 does, and TLS if it is wanted.
func fakeGreeting(ssl bool) []byte {
	low := "\xfe\xf7"
	if ssl {
		low = "\xfe\xff"
	}
	return []byte("\x0a5.5.5-10.11.19-MariaDB\x00\x01\x00\x00\x00abcdefgh\x00" + low +
		"\x2d\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00abcdefghijkl\x00mysql_native_password\x00")
}

func fakePacket(seq byte, body []byte) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

// say sends packets, numbered on.
func (f *fake) say(bodies ...string) {
	for _, body := range bodies {
		_, _ = f.Write(fakePacket(f.seq, []byte(body)))
		f.seq++
	}
}

// hear reads a packet of the client's.
func (f *fake) hear() (string, error) {
	if _, err := io.ReadFull(f.Conn, f.buf[:4]); err != nil {
		return "", err
	}
	n := int(f.buf[0]) | int(f.buf[1])<<8
	f.seq = f.buf[3] + 1
	_, err := io.ReadFull(f.Conn, f.buf[:n])
	return string(f.buf[:n]), err
}

const (
	fakeOK     = "\x00\x00\x00\x02\x00\x00\x00"
	fakeOKMore = "\x00\x00\x00\x0a\x00\x00\x00"
	fakeEnd    = "\xfe\x00\x00\x02\x00\x00\x00"
	fakeMore   = "\xfe\x00\x00\x0a\x00\x00\x00"
)

func fakeString(s string) string {
	if len(s) < 251 {
		return string([]byte{byte(len(s))}) + s
	}
	return string(binary.LittleEndian.AppendUint16([]byte{0xfc}, uint16(len(s)))) + s
}

func fakeRow(values ...string) (row string) {
	for _, v := range values {
		row += fakeString(v)
	}
	return row
}

// column is a definition of a column of text.
const fakeColumn = "\x03def\x00\x00\x00\x01x\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00"

// table is a result, in the way that CLIENT_DEPRECATE_EOF has it.
func (f *fake) table(end string, columns int, rows ...string) {
	f.say(string([]byte{byte(columns)}))
	for range columns {
		f.say(fakeColumn)
	}
	f.say(append(rows, end)...)
}

// synced answers a probe as a synced node does.
func (f *fake) synced(text string) {
	if strings.HasPrefix(text, setup) {
		f.say(fakeOKMore)
	}
	f.table(fakeMore, 2, fakeRow("wsrep_cluster_status", "Primary"), fakeRow("wsrep_local_state", "4"), fakeRow("wsrep_ready", "ON"))
	if strings.Contains(text, showVariables) {
		f.table(fakeMore, 2, fakeRow("read_only", "OFF"), fakeRow("version", "10.11.19-MariaDB"))
	}
	f.table(fakeEnd, 3, fakeRow("NONE", "OFF", "0"))
}

// prepared answers what an inspector and a canary ask before the question that counts.
func (f *fake) prepared(text string) {
	switch {
	case strings.Contains(text, "SELECT CURRENT_USER()"):
		f.say(fakeOKMore)
		f.table(fakeEnd, 1, fakeRow("probe@%"))
	case text == columnsQuery:
		f.table(fakeEnd, 2, fakeRow("PROCESSLIST", "QUERY_ID"), fakeRow("PROCESSLIST", "TIME_MS"))
	default:
		f.table(fakeEnd, 1, fakeRow("0"))
	}
}

// serveFake listens and lets serve speak on each connection until the test ends.
func serveFake(tb testing.TB, serve func(*fake)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(&fake{Conn: c})
			}()
		}
	}()
	return l.Addr().String()
}

// letIn greets and takes any login, over TLS where cfg says how.
func (f *fake) letIn(cfg *tls.Config) error {
	f.say(string(fakeGreeting(cfg != nil)))
	said, err := f.hear()
	if err != nil {
		return err
	}
	if cfg != nil && len(said) == sslRequest-packetHeader {
		over := tls.Server(f.Conn, cfg)
		if err := over.Handshake(); err != nil {
			return err
		}
		f.Conn = over
		if _, err := f.hear(); err != nil {
			return err
		}
	}
	f.say(fakeOK)
	return nil
}

// serveSynced is a node that is synced, as long as the client asks.
func serveSynced(cfg *tls.Config) func(*fake) {
	return func(f *fake) {
		if f.letIn(cfg) != nil {
			return
		}
		for {
			text, err := f.hear()
			if err != nil || text[0] != comQuery {
				return
			}
			f.synced(text[1:])
		}
	}
}

// authority makes certificates, at run time and for one test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of the CA's certificate
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{dir: tb.TempDir()}
	a.key = authorityKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	must(tb, err)
	a.cert, err = x509.ParseCertificate(der)
	must(tb, err)
	a.file = a.write(tb, "ca.pem", "CERTIFICATE", der)
	return a
}

func authorityKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return key
}

func (a *authority) write(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	name = filepath.Join(a.dir, name)
	must(tb, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return name
}

// issue makes a certificate for a host name or address, valid until then.
func (a *authority) issue(tb testing.TB, host string, until time.Time) (cert, key string) {
	tb.Helper()
	own := authorityKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	must(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	must(tb, err)
	name := strings.ReplaceAll(host, ":", "_") + until.Format("150405.000000")
	return a.write(tb, name+".pem", "CERTIFICATE", der), a.write(tb, name+".key", "PRIVATE KEY", keyDER)
}

func (a *authority) server(tb testing.TB, host string, until time.Time) *tls.Config {
	tb.Helper()
	cert, key := a.issue(tb, host, until)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(tb, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
