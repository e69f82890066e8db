package serving

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificates are the files of a server that knows its clients by their certificates, all PEM.
type Certificates struct {
	// Cert and Key are the server's own, with what its clients need between it and their CA.
	Cert, Key string
	// ClientCA is who signs the clients' certificates.
	ClientCA string
}

// every is how often files are looked at.
const lookEvery = time.Second

// TLS reads the files and returns a configuration that reads them again when they change. What cannot be read then
// leaves what was read before in force, and is said in the log, once. TLS 1.3 and nothing older: both ends are ours.
func (c Certificates) TLS(log *slog.Logger) (*tls.Config, error) {
	k := &keeper{files: c, log: log}
	stamp, err := k.stamp()
	if err == nil {
		k.now, err = c.read()
	}
	if err != nil {
		return nil, err
	}
	k.read, k.looked = stamp, time.Now()
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current(), nil },
	}, nil
}

func (c Certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.Cert, c.Key, err)
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("CA of the clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA of the clients %s: no certificate in it", c.ClientCA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		// Each connection proves anew who it is: a session that is resumed would outlive a CA that is taken away.
		SessionTicketsDisabled: true,
	}, nil
}

// keeper has what was read last.
type keeper struct {
	files Certificates
	log   *slog.Logger

	mu     sync.Mutex // guards what follows
	now    *tls.Config
	read   [3]stamp // of the files as they were read
	looked time.Time
	said   string // what was wrong then
}

// stamp tells two contents of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

func (k *keeper) stamp() (all [3]stamp, err error) {
	for i, path := range []string{k.files.Cert, k.files.Key, k.files.ClientCA} {
		info, serr := os.Stat(path)
		if serr != nil {
			err = errors.Join(err, serr)
			continue
		}
		all[i] = stamp{info.ModTime(), info.Size()}
	}
	return all, err
}

// current is what is in force.
func (k *keeper) current() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.looked) < lookEvery {
		return k.now
	}
	k.looked = now
	at, err := k.stamp()
	if err == nil && at == k.read {
		k.said = ""
		return k.now
	}
	if err == nil {
		var next *tls.Config
		if next, err = k.files.read(); err == nil {
			k.now, k.read, k.said = next, at, "" // only what was read is not looked at again
			k.log.Info("the certificates were read again", "certificate", k.files.Cert)
			return k.now
		}
	}
	if text := err.Error(); text != k.said {
		k.said = text
		k.log.Warn("the certificates have changed and cannot be used: the ones before are in force", "error", err)
	}
	return k.now
}
