package suite

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Namespace is where everything is deployed.
const Namespace = "haproxy-peers"

// Accounts of the Galera image.
const (
	appUser       = "app"
	probePassword = "lab"
	appPassword   = "lab"
)

// database is the workload of the database pods, sidecar the overlay of the sidecar base.
const (
	database = statefulSet + "/" + pxcApp
	sidecar  = "testdata/sidecar"
)

// recoverWithin bounds how long everything may take to be as it was: a database pod that comes back joins by a full
// copy, a node that was dead is trusted again after a minute.
const recoverWithin = 4 * time.Minute

// loadManifest is the load's pod. It stays on the node with the control plane, which no scenario touches.
const loadManifest = `
apiVersion: v1
kind: Pod
metadata:
  name: ` + loadPod + `
  labels: {app.kubernetes.io/name: load}
spec:
  nodeName: %s
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532}
  tolerations: [{operator: Exists}]
  containers:
  - name: load
    image: localhost/load:test
    imagePullPolicy: Never
    command: [/load, run, --address=haproxy:3306, --user=` + appUser + `, --max-life=10s]
    env: [{name: LOAD_PASSWORD, value: ` + appPassword + `}]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
`

// Deploy makes the namespace, the Galera cluster, the HAProxies by an overlay, and the load on a node. log takes a line
// per step.
func (k *Kube) Deploy(ctx context.Context, overlay, loadNode string, log func(string, ...any)) error {
	started := time.Now()
	step := func(what string) { log("%6.1f s %s", time.Since(started).Seconds(), what) }
	if err := k.apply(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+k.Namespace+"}\n"); err != nil {
		return err
	}
	if _, err := k.Kubectl(ctx, "apply", "-k", "testdata/galera"); err != nil {
		return err
	}
	if err := k.secrets(ctx); err != nil {
		return err
	}
	if _, err := k.Kubectl(ctx, "apply", "-k", overlay); err != nil {
		return err
	}
	step("manifests applied")
	if err := k.apply(ctx, fmt.Sprintf(loadManifest, loadNode)); err != nil {
		return err
	}
	if err := k.WaitReady(ctx, pxcApp, 3); err != nil {
		return err
	}
	step("the database is ready")
	if err := k.WaitReady(ctx, haproxyApp, 3); err != nil {
		return err
	}
	step("the HAProxies are ready")
	record, err := k.WaitAgreed(ctx, 3)
	if err != nil {
		return err
	}
	step("agreed on " + record.Active)
	return k.WaitReady(ctx, "load", 1)
}

// ReplaceProxies takes the HAProxies of one overlay away, with the daemons' volumes, and makes those of another one.
// The database and the load stay. It returns how many there are when they are ready.
func (k *Kube) ReplaceProxies(ctx context.Context, from, to, workload string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*recoverWithin)
	defer cancel()
	if _, err := k.Kubectl(ctx, "delete", "-k", from, "--ignore-not-found"); err != nil {
		return 0, err
	}
	if err := k.WaitReady(ctx, haproxyApp, 0); err != nil {
		return 0, err
	}
	if _, err := k.Kubectl(ctx, "delete", "pvc", "-l", "app.kubernetes.io/name="+haproxyApp); err != nil {
		return 0, err
	}
	if err := k.cluster.RecycleVolumes(ctx); err != nil {
		return 0, err
	}
	if _, err := k.Kubectl(ctx, "apply", "-k", to); err != nil {
		return 0, err
	}
	if err := k.WaitRolled(ctx, workload); err != nil {
		return 0, err
	}
	pods, err := k.Pods(ctx, haproxyApp)
	return len(pods), err
}

func (k *Kube) apply(ctx context.Context, manifest string) error {
	_, err := k.kubectlWith(ctx, strings.NewReader(manifest), "apply", "-f", "-")
	return err
}

// secrets makes what the base leaves to its user.
func (k *Kube) secrets(ctx context.Context) error {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	for name, literal := range map[string]string{
		"haproxy-gossip": "keys=" + base64.StdEncoding.EncodeToString(key[:]),
		"haproxy-probe":  "password=" + probePassword,
	} {
		out, err := k.Kubectl(ctx, "create", "secret", "generic", name, "--from-literal="+literal)
		if err != nil && !strings.Contains(out, "already exists") {
			return err
		}
	}
	return nil
}
