package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for peers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign writes a peer's certificate and key, as HAProxy wants them, in one file.
func (a *authority) sign(t *testing.T) string {
	t.Helper()
	key := newKey(t)
	cert := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a peer"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "peer.pem")
	writePEM(t, file, "CERTIFICATE", der, "PRIVATE KEY", private)
	return file
}

func writePEM(t *testing.T, file string, parts ...any) {
	t.Helper()
	var out []byte
	for i := 0; i < len(parts); i += 2 {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: parts[i].(string), Bytes: parts[i+1].([]byte)})...)
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// hello introduces itself as a peer whose name HAProxy knows, and gives the status that HAProxy answers with, or the
// error of the connection.
func hello(address, as, to string, config *tls.Config) (string, error) {
	var c net.Conn
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if config != nil {
		c = tls.Client(c, config)
	}
	if _, err := fmt.Fprintf(c, "HAProxyS 2.1\n%s\n%s 1 1\n", to, as); err != nil {
		return "", err
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer)), nil
}

// Two HAProxies replicate an entry under TLS, both ways; whoever has no certificate of their authority is not spoken to,
// whatever name it gives. Without TLS the same stranger is.
func TestPeersTLS(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ours, others := newAuthority(t, "ours"), newAuthority(t, "somebody's")
			proxies := []RenderProxy{{Name: "a", Host: "127.0.0.33", Port: freePort(t)}, {Name: "b", Host: "127.0.0.34", Port: freePort(t)}}
			start := func(local, cert string) *live {
				return startLive(t, binary, func(in *RenderInput) {
					in.Proxies, in.LocalProxy, in.PeersCert, in.PeersCA = proxies, local, cert, ours.file
				})
			}
			a, b := start("a", ours.sign(t)), start("b", ours.sign(t))
			for id, from := range map[int]*live{2: a, 3: b} {
				to := b
				if from == b {
					to = a
				}
				from.until("the entry arrives", 20*time.Second, func() bool {
					from.do(fmt.Sprintf("set table galera-nodes key 1 data.server_id %d", id))
					return strings.Contains(to.try("show table galera-nodes"), fmt.Sprintf("server_id=%d ", id))
				})
			}
			address := fmt.Sprintf("%s:%d", proxies[0].Host, proxies[0].Port)
			foreign, err := tls.LoadX509KeyPair(one(others.sign(t)))
			if err != nil {
				t.Fatal(err)
			}
			for who, config := range map[string]*tls.Config{
				"without TLS": nil, "without a certificate": {InsecureSkipVerify: true},
				"with a certificate of another authority": {InsecureSkipVerify: true, Certificates: []tls.Certificate{foreign}},
			} {
				if status, err := hello(address, "b", "a", config); err == nil {
					t.Errorf("a stranger %s is answered with %q", who, status)
				} else if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("a stranger %s is not refused: %v", who, err)
				}
			}
			// The stranger's words are right: one with a certificate is answered, and so is anybody in the clear.
			own, err := tls.LoadX509KeyPair(one(ours.sign(t)))
			if err != nil {
				t.Fatal(err)
			}
			if status, err := hello(address, "b", "a", &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}}); status != "200" {
				t.Errorf("one of theirs is answered with %q, %v", status, err)
			}
			startLive(t, binary, func(in *RenderInput) {
				in.Proxies, in.LocalProxy = []RenderProxy{{Name: "a", Host: "127.0.0.35", Port: proxies[0].Port}, {Name: "b", Host: "127.0.0.36", Port: freePort(t)}}, "a"
			})
			if status, err := hello(fmt.Sprintf("127.0.0.35:%d", proxies[0].Port), "b", "a", nil); status != "200" {
				t.Errorf("in the clear a stranger is answered with %q, %v", status, err)
			}
		})
	}
}

// one is a file that holds both.
func one(file string) (cert, key string) { return file, file }
