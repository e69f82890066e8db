package dbtest

import (
	"bytes"
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

// Fake speaks the server's half of the protocol, and says what it is told to.
type Fake struct {
	net.Conn
	Seq byte // of the next packet
	buf [8 << 10]byte
}

// Greeting offers what MariaDB 10.11 does, and TLS if it is wanted.
func Greeting(ssl bool) []byte {
	low := "\xfe\xf7"
	if ssl {
		low = "\xfe\xff"
	}
	return []byte("\x0a5.5.5-10.11.19-MariaDB\x00\x01\x00\x00\x00abcdefgh\x00" + low +
		"\x2d\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00abcdefghijkl\x00mysql_native_password\x00")
}

// Packet is a packet with its header.
func Packet(seq byte, body []byte) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

// Say sends packets, numbered on.
func (f *Fake) Say(bodies ...string) {
	for _, body := range bodies {
		_, _ = f.Write(Packet(f.Seq, []byte(body)))
		f.Seq++
	}
}

// Hear reads a packet of the client's.
func (f *Fake) Hear() (string, error) {
	if _, err := io.ReadFull(f.Conn, f.buf[:4]); err != nil {
		return "", err
	}
	n := int(f.buf[0]) | int(f.buf[1])<<8
	f.Seq = f.buf[3] + 1
	_, err := io.ReadFull(f.Conn, f.buf[:n])
	return string(f.buf[:n]), err
}

const (
	// ComQuery is the first byte of a question.
	ComQuery = 0x03
	// SSLRequest is the length of the packet by which a client begins TLS.
	SSLRequest = 32
)

// What ends an answer, and what does so with another one after it.
const (
	OK     = "\x00\x00\x00\x02\x00\x00\x00"
	OKMore = "\x00\x00\x00\x0a\x00\x00\x00"
	End    = "\xfe\x00\x00\x02\x00\x00\x00"
	More   = "\xfe\x00\x00\x0a\x00\x00\x00"
)

func fakeString(s string) string {
	if len(s) < 251 {
		return string([]byte{byte(len(s))}) + s
	}
	return string(binary.LittleEndian.AppendUint16([]byte{0xfc}, uint16(len(s)))) + s
}

// Row is a row of text.
func Row(values ...string) (row string) {
	for _, v := range values {
		row += fakeString(v)
	}
	return row
}

// Column is a definition of a column of text.
const Column = "\x03def\x00\x00\x00\x01x\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00"

// Table is a result, in the way that CLIENT_DEPRECATE_EOF has it.
func (f *Fake) Table(end string, columns int, rows ...string) {
	f.Say(string([]byte{byte(columns)}))
	for range columns {
		f.Say(Column)
	}
	f.Say(append(rows, end)...)
}

// Process is the wsrep_gcomm_uuid of Synced.
const Process = "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db"

// Synced answers a probe as a synced node does.
func (f *Fake) Synced(text string) { f.SyncedAs(text, Process) }

// SyncedAs answers as Synced does, for another process.
func (f *Fake) SyncedAs(text, process string) {
	if strings.HasPrefix(text, "SET SESSION") {
		f.Say(OKMore)
	}
	f.Table(More, 2, Row("wsrep_cluster_status", "Primary"), Row("wsrep_local_state", "4"), Row("wsrep_ready", "ON"),
		Row("wsrep_gcomm_uuid", process))
	if strings.Contains(text, "SHOW GLOBAL VARIABLES") {
		f.Table(More, 2, Row("read_only", "OFF"), Row("version", "10.11.19-MariaDB"))
	}
	f.Table(End, 3, Row("NONE", "OFF", "0"))
}

// Prepared answers what an inspector and a canary ask before the question that counts.
func (f *Fake) Prepared(text string) {
	switch {
	case strings.Contains(text, "SELECT CURRENT_USER()"):
		f.Say(OKMore)
		f.Table(End, 1, Row("probe@%"))
	case strings.Contains(text, "information_schema.COLUMNS"):
		f.Table(End, 2, Row("PROCESSLIST", "QUERY_ID"), Row("PROCESSLIST", "TIME_MS"))
	default:
		f.Table(End, 1, Row("0"))
	}
}

// Serve listens and lets serve speak on each connection until the test ends.
func Serve(tb testing.TB, serve func(*Fake)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(&Fake{Conn: c})
			}()
		}
	}()
	return l.Addr().String()
}

// SayAll is a server that says everything at once, whatever it is asked, and ends.
func SayAll(tb testing.TB, said []byte) string {
	tb.Helper()
	return Serve(tb, func(f *Fake) {
		_, _ = f.Write(said)
		_ = f.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, f)
	})
}

// AfterLogin puts a login that succeeds before what is said.
func AfterLogin(said []byte) []byte {
	return bytes.Join([][]byte{Packet(0, Greeting(false)), Packet(2, []byte(OK)), said}, nil)
}

// LetIn greets and takes any login, over TLS where cfg says how.
func (f *Fake) LetIn(cfg *tls.Config) error {
	f.Say(string(Greeting(cfg != nil)))
	said, err := f.Hear()
	if err != nil {
		return err
	}
	if cfg != nil && len(said) == SSLRequest {
		over := tls.Server(f.Conn, cfg)
		if err := over.Handshake(); err != nil {
			return err
		}
		f.Conn = over
		if _, err := f.Hear(); err != nil {
			return err
		}
	}
	f.Say(OK)
	return nil
}

// ServeSynced is a node that is synced, as long as the client asks.
func ServeSynced(cfg *tls.Config) func(*Fake) {
	return ServeQueries(cfg, func(f *Fake, text string) bool {
		f.Synced(text)
		return true
	})
}

// ServeQueries lets a client in and gives each of its queries to answer, until that says that the connection ends.
func ServeQueries(cfg *tls.Config, answer func(f *Fake, text string) (goesOn bool)) func(*Fake) {
	return func(f *Fake) {
		if f.LetIn(cfg) != nil {
			return
		}
		for {
			text, err := f.Hear()
			if err != nil || text[0] != ComQuery || !answer(f, text[1:]) {
				return
			}
		}
	}
}

// Said is what a server says to nobody.
func Said(seq byte, say func(*Fake)) []byte {
	var said bytes.Buffer
	say(&Fake{Conn: recorder{to: &said}, Seq: seq})
	return said.Bytes()
}

type recorder struct {
	net.Conn
	to io.Writer
}

func (r recorder) Write(b []byte) (int, error) { return r.to.Write(b) }

// Authority makes certificates, at run time and for one test.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // of the CA's certificate
}

// NewAuthority makes one, with its files in a folder of the test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir()}
	a.key = authorityKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	Must(tb, err)
	a.cert, err = x509.ParseCertificate(der)
	Must(tb, err)
	a.File = a.write(tb, "ca.pem", "CERTIFICATE", der)
	return a
}

func authorityKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(tb, err)
	return key
}

func (a *Authority) write(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	name = filepath.Join(a.dir, name)
	Must(tb, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return name
}

// Issue makes a certificate for a host name or address, valid until then.
func (a *Authority) Issue(tb testing.TB, host string, until time.Time) (cert, key string) {
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
	Must(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	Must(tb, err)
	name := strings.ReplaceAll(host, ":", "_") + until.Format("150405.000000")
	return a.write(tb, name+".pem", "CERTIFICATE", der), a.write(tb, name+".key", "PRIVATE KEY", keyDER)
}

// Server is the configuration of a server with a certificate for that host.
func (a *Authority) Server(tb testing.TB, host string, until time.Time) *tls.Config {
	tb.Helper()
	cert, key := a.Issue(tb, host, until)
	pair, err := tls.LoadX509KeyPair(cert, key)
	Must(tb, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
