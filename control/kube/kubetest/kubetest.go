// Package kubetest runs a real kube-apiserver over a real etcd, for tests: objects
// and no kubelet. The binary is the multi-call one of the project's cache folder
// (see e2e/k8s); where it is not there, Find says so.
package kubetest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Namespace is the one in which the objects are, Finalizer what keeps a deleted
// pod's object until it is taken away, as a kubelet would that still ends it.
const (
	Namespace = "haproxy-peers"
	Finalizer = "haproxy-peers/test"
)

// adminToken is every right, podToken those of the Role that the daemon needs.
const (
	adminToken = "admin-token"
	podToken   = "pod-token"
)

// CacheDir is the project's cache folder, where e2e/k8s keeps what it builds; it need not exist:
// ${HAPROXY_PEERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/haproxy-peers}/k8s.
func CacheDir() (string, error) {
	if dir := os.Getenv("HAPROXY_PEERS_CACHE"); dir != "" {
		dir, err := filepath.Abs(dir)
		return filepath.Join(dir, "k8s"), err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set HAPROXY_PEERS_CACHE", err)
	}
	return filepath.Join(dir, "haproxy-peers", "k8s"), nil
}

// Find returns the path of the multi-call binary, or an error that says where it was looked for.
func Find() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bin", "kube")
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("no kube-apiserver at %s", path)
	}
	return path, nil
}

// Machine is where the processes run: this host, or a network namespace.
type Machine struct {
	// IP is where the API server is reached.
	IP string
	// Start starts a process that runs until stop is called.
	Start func(name string, args ...string) (stop func(), err error)
	// Run runs a command to its end.
	Run func(ctx context.Context, stdin, name string, args ...string) (stdout string, err error)
}

// Server is a running API server.
type Server struct {
	// URL is what the daemon's --kubernetes-api takes, Account its --kubernetes-account.
	URL, Account string

	binary, config, etcd string
	machine              Machine
	args                 []string
	stopAPI, stop        func()
}

// Start starts etcd and the API server with their files in dir, and makes the
// namespace. Close must be called also where it fails.
func Start(ctx context.Context, m Machine, dir string) (*Server, error) {
	s := &Server{machine: m, Account: filepath.Join(dir, "account"), config: filepath.Join(dir, "kubeconfig"), stop: func() {}, stopAPI: func() {}}
	var err error
	if s.binary, err = Find(); err != nil {
		return s, err
	}
	etcd, peer, api := "http://"+address(m.IP, 23790), "http://"+address(m.IP, 23800), address(m.IP, 26443)
	s.URL, s.etcd = "https://"+api, etcd
	_, port, err := net.SplitHostPort(api)
	if err != nil {
		return s, err
	}
	certs, key, tokens := filepath.Join(dir, "certs"), filepath.Join(dir, "sa.key"), filepath.Join(dir, "tokens.csv")
	if err := errors.Join(
		os.MkdirAll(s.Account, 0o755), writeKey(key),
		os.WriteFile(tokens, []byte(adminToken+",admin,1,system:masters\n"+podToken+",haproxyd,2\n"), 0o600),
	); err != nil {
		return s, err
	}
	s.stop, err = m.Start("etcd", s.binary, "etcd", "--data-dir", filepath.Join(dir, "etcd"),
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync")
	if err != nil {
		s.stop = func() {}
		return s, err
	}
	s.args = []string{s.binary, "kube-apiserver", "--etcd-servers", etcd, "--bind-address", m.IP, "--advertise-address", m.IP,
		"--secure-port", port, "--cert-dir", certs, "--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--service-account-issuer", "https://kubernetes.default.svc", "--disable-admission-plugins", "ServiceAccount",
		"--service-cluster-ip-range", "10.0.0.0/24"}
	if err := s.writeConfig(); err != nil {
		return s, err
	}
	if err := s.StartAPI(ctx); err != nil {
		return s, err
	}
	ca, err := os.ReadFile(filepath.Join(certs, "apiserver.crt"))
	if err != nil {
		return s, err
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(s.Account, "ca.crt"), ca, 0o644),
		os.WriteFile(filepath.Join(s.Account, "namespace"), []byte(Namespace), 0o644),
		s.Token(podToken),
	); err != nil {
		return s, err
	}
	if _, err := s.Kubectl(ctx, "", "create", "namespace", Namespace); err != nil {
		return s, err
	}
	return s, s.Permit(ctx, true)
}

// address is a free port of this host or, where the machine is another namespace
// whose ports nobody else uses, the given one.
func address(ip string, port int) string {
	if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	return net.JoinHostPort(ip, fmt.Sprint(port))
}

// Token writes another token into the account; "" the right one.
func (s *Server) Token(token string) error {
	if token == "" {
		token = podToken
	}
	return os.WriteFile(filepath.Join(s.Account, "token"), []byte(token), 0o644)
}

// StartAPI starts the API server and waits until it is ready.
func (s *Server) StartAPI(ctx context.Context) error {
	stop, err := s.machine.Start("kube-apiserver", s.args...)
	if err != nil {
		return err
	}
	s.stopAPI = stop
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		out, err := s.Kubectl(ctx, "", "get", "--raw", "/readyz")
		if err == nil && strings.TrimSpace(out) == "ok" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w", err)
		case <-time.After(500 * time.Millisecond): // each look is a process of its own
		}
	}
}

// StopAPI ends the API server and leaves etcd.
func (s *Server) StopAPI() {
	s.stopAPI()
	s.stopAPI = func() {}
}

// Close ends everything.
func (s *Server) Close() {
	s.StopAPI()
	s.stop()
}

// Compact makes etcd forget everything before now: after a restart of the API
// server a watch from an older version is refused.
func (s *Server) Compact(ctx context.Context) error {
	var object struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	out, err := s.Kubectl(ctx, "", "annotate", "namespace", Namespace, fmt.Sprintf("compacted=%d", time.Now().UnixNano()), "--overwrite", "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &object); err != nil {
		return err
	}
	_, err = s.machine.Run(ctx, "", "curl", "-sf", "-X", "POST", s.etcd+"/v3/kv/compaction",
		"-d", fmt.Sprintf(`{"revision":%q,"physical":true}`, object.Metadata.ResourceVersion))
	return err
}

// Permit gives the daemon's user the Role that it needs, or takes it away.
func (s *Server) Permit(ctx context.Context, yes bool) error {
	if !yes {
		_, err := s.Kubectl(ctx, "", "delete", "rolebinding", "pods")
		return err
	}
	_, err := s.Kubectl(ctx, `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: pods}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: pods}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pods}
subjects: [{kind: User, name: haproxyd}]
`, "apply", "-f", "-")
	return err
}

// Create makes a pod of the selector app.kubernetes.io/name=pxc that stays until
// Release when it is deleted.
func (s *Server) Create(ctx context.Context, name, revision string, grace time.Duration) error {
	_, err := s.Kubectl(ctx, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app.kubernetes.io/name: pxc, controller-revision-hash: %s}
  finalizers: [%s]
spec:
  terminationGracePeriodSeconds: %d
  nodeName: none
  automountServiceAccountToken: false
  containers: [{name: database, image: none}]
`, name, revision, Finalizer, int(grace.Seconds())), "create", "-f", "-")
	return err
}

// Delete deletes a pod and does not wait for its end.
func (s *Server) Delete(ctx context.Context, name string) error {
	_, err := s.Kubectl(ctx, "", "delete", "pod", name, "--wait=false")
	return err
}

// Release lets a deleted pod go, as the kubelet does that has ended it.
func (s *Server) Release(ctx context.Context, name string) error {
	_, err := s.Kubectl(ctx, "", "patch", "pod", name, "--type=merge", "-p", `{"metadata":{"finalizers":[]}}`)
	if err == nil {
		_, err = s.Kubectl(ctx, "", "delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found")
	}
	return err
}

// Kubectl runs kubectl as the administrator.
func (s *Server) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return s.machine.Run(ctx, stdin, s.binary, append([]string{"kubectl", "--kubeconfig", s.config, "--request-timeout=30s"}, args...)...)
}

func (s *Server) writeConfig() error {
	return os.WriteFile(s.config, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin, namespace: %s}}]
current-context: test
`, s.URL, adminToken, Namespace)), 0o600)
}

// writeKey makes the key that the API server would sign service accounts' tokens with.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(path, pem.EncodeToMemory(&block), 0o600)
}
