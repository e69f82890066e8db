// Package certtest makes certificates for tests, in files.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA signs certificates for an hour. Its own one is in File.
type CA struct {
	tb   testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string
}

// Pair are the files of a certificate and its key.
type Pair struct{ Cert, Key string }

// NewCA makes a CA whose files are in dir, NAME.pem and so on.
func NewCA(tb testing.TB, dir, name string) *CA {
	tb.Helper()
	ca := &CA{tb: tb, dir: dir, key: newKey(tb)}
	template := template(tb, name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	must(tb, err)
	ca.cert, err = x509.ParseCertificate(der)
	must(tb, err)
	ca.File = ca.write(name+".pem", "CERTIFICATE", der)
	return ca
}

// Server makes a certificate for addresses and names.
func (ca *CA) Server(file string, hosts ...string) Pair {
	ca.tb.Helper()
	t := template(ca.tb, file)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return ca.sign(file, t)
}

// Client makes a certificate for whom a common name and organizations say.
func (ca *CA) Client(file, commonName string, organizations ...string) Pair {
	ca.tb.Helper()
	t := template(ca.tb, commonName)
	t.Subject.Organization, t.ExtKeyUsage = organizations, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return ca.sign(file, t)
}

func (ca *CA) sign(file string, t *x509.Certificate) Pair {
	ca.tb.Helper()
	key := newKey(ca.tb)
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	must(ca.tb, err)
	bare, err := x509.MarshalPKCS8PrivateKey(key)
	must(ca.tb, err)
	return Pair{Cert: ca.write(file+".pem", "CERTIFICATE", der), Key: ca.write(file+".key", "PRIVATE KEY", bare)}
}

// write replaces a file, so that who reads it again sees that it is another one.
func (ca *CA) write(name, kind string, der []byte) string {
	ca.tb.Helper()
	path := filepath.Join(ca.dir, name)
	must(ca.tb, os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	must(ca.tb, os.Rename(path+".new", path))
	return path
}

func template(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(tb, err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return key
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
