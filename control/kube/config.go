package kube

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultAccount is the folder in which Kubernetes gives a pod its service
// account: the files token, ca.crt and namespace.
const DefaultAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Config says which pods to watch, and through which API server.
type Config struct {
	// Selector is a label selector ("app.kubernetes.io/name=pxc").
	Selector string
	// API is the server's URL ("https://10.96.0.1:443"). Default: what Kubernetes
	// tells every container (KUBERNETES_SERVICE_HOST and _PORT).
	API string
	// Account is the folder with token, ca.crt and namespace. Default: DefaultAccount.
	// All three are read anew for every request: the token is rotated.
	Account string
	// Logger and Registerer: default none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// retry is the pause after a failure; it doubles up to maxRetry.
	retry, maxRetry time.Duration
	// margin is how long after its deadline a pod is forgotten whose end nobody can
	// tell, because the API server does not answer.
	margin time.Duration
	// watch is for how long the server is asked to keep a watch, up to twice as long.
	// A server that still holds it open patience later says nothing any more: so its
	// silence is noticed after 2*watch + patience at the latest.
	watch, patience time.Duration
}

func (c Config) withDefaults() Config {
	c.Account = cmp.Or(c.Account, DefaultAccount)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.retry = cmp.Or(c.retry, time.Second)
	c.maxRetry = cmp.Or(c.maxRetry, 30*time.Second)
	c.margin = cmp.Or(c.margin, 30*time.Second)
	c.watch = cmp.Or(c.watch, time.Minute)
	c.patience = cmp.Or(c.patience, 15*time.Second)
	return c
}

// Validate tells everything that no waiting would put right. An API server or an
// account that is not there is not among it: that may come.
func (c *Config) Validate() error {
	var errs []error
	if strings.TrimSpace(c.Selector) == "" {
		errs = append(errs, errors.New("kubernetes-pods: the label selector is empty; give one that only the database pods have, such as app.kubernetes.io/name=pxc"))
	}
	if c.API != "" {
		if u, err := url.Parse(c.API); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			errs = append(errs, fmt.Errorf("kubernetes-api %q: give https://HOST:PORT", c.API))
		}
	}
	return errors.Join(errs...)
}

// server is where the API server is.
func (c *Config) server() (string, error) {
	if c.API != "" {
		return strings.TrimRight(c.API, "/"), nil
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return "", errors.New("no KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT in the environment: this is no pod; give --kubernetes-api")
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// maxSmall bounds the files of the account.
const maxSmall = 1 << 20

func (c *Config) file(name string) (string, error) {
	path := filepath.Join(c.Account, name)
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxSmall {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("service account: %w; the pod needs one (automountServiceAccountToken)", err)
	}
	if text := strings.TrimSpace(string(data)); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("service account: %s is empty", path)
}

// transport trusts the account's CA alone. Keep-alives end a connection whose
// server has vanished without a word within half a minute: a watch at rest sends
// nothing by which it could be noticed.
func transport(ca string) (*http.Transport, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("service account: ca.crt holds no certificate")
	}
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: maxSmall,
	}, nil
}
