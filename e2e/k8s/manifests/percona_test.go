package manifests

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The values for Percona's chart have only fields that this project has seen in it, the
// sidecar is a container that Kubernetes knows, mounts only volumes that the operator
// makes, and has only flags that haproxyd has.
func TestPerconaValues(t *testing.T) {
	data, err := os.ReadFile(kubernetes + "/percona/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		HAProxy struct {
			Enabled       bool               `json:"enabled"`
			Size          int                `json:"size"`
			Image         string             `json:"image"`
			EnvVarsSecret string             `json:"envVarsSecret"`
			GracePeriod   int                `json:"gracePeriod"`
			Sidecars      []corev1.Container `json:"sidecars"`
		} `json:"haproxy"`
	}
	if err := yaml.UnmarshalStrict(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.HAProxy.Sidecars) != 1 || v.HAProxy.Sidecars[0].Image != v.HAProxy.Image {
		t.Fatal("the daemon is not a sidecar of the same image")
	}
	d := v.HAProxy.Sidecars[0]
	if d.ReadinessProbe != nil || d.LivenessProbe == nil || d.LivenessProbe.HTTPGet.Path != "/healthz" {
		t.Error("the daemon's probes are not a liveness at /healthz alone")
	}
	theirs := operatorVolumes()
	theirs[v.HAProxy.EnvVarsSecret] = true
	checkSidecar(t, &d, theirs)
	if !strings.Contains(string(data), "haproxyctl gossip-key | kubectl create secret generic "+v.HAProxy.EnvVarsSecret+" --from-literal=HAPROXY_NUM=3 --from-file=gossip-keys=/dev/stdin") {
		t.Error("nothing says how the secret is made")
	}
}

// The example of the custom resource is what the renderer prints, its sidecar is a container
// that Kubernetes knows, and its flags are haproxyd's.
func TestPerconaCustomResource(t *testing.T) {
	data, err := os.ReadFile(kubernetes + "/percona/cluster1.yaml")
	if err != nil {
		t.Fatal(err)
	}
	command := []string{"config", "operator", "--cluster", "cluster1", "--namespace", "pxc"}
	if now, err := run(t, "haproxyctl", command...); err != nil || now != string(data) {
		t.Errorf("percona/cluster1.yaml is not what `haproxyctl %s` prints (%v)", strings.Join(command, " "), err)
	}
	var v struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			HAProxy struct {
				Configuration  string             `json:"configuration"`
				Sidecars       []corev1.Container `json:"sidecars"`
				SidecarVolumes []corev1.Volume    `json:"sidecarVolumes"`
			} `json:"haproxy"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Spec.HAProxy.Sidecars) != 1 || v.Spec.HAProxy.Configuration == "" {
		t.Fatal("it has not one configuration and one sidecar")
	}
	d := v.Spec.HAProxy.Sidecars[0]
	volumes := operatorVolumes()
	for _, o := range v.Spec.HAProxy.SidecarVolumes {
		volumes[o.Name] = true
	}
	checkSidecar(t, &d, volumes)
	if d.ReadinessProbe != nil {
		t.Error("the daemon's container has a readiness probe")
	}
}

// operatorVolumes are what the operator gives its HAProxy pods.
func operatorVolumes() map[string]bool {
	return map[string]bool{"haproxy-auto": true, "haproxy-custom": true, "mysql-users-secret-file": true}
}

// checkSidecar: it mounts only volumes that somebody makes, and has only flags that haproxyd has.
func checkSidecar(t *testing.T, d *corev1.Container, volumes map[string]bool) {
	t.Helper()
	for _, m := range d.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("nobody makes the volume %s", m.Name)
		}
	}
	known := flagsOf(t, "haproxyd")
	for _, a := range d.Args {
		if name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "="); !known[name] {
			t.Errorf("haproxyd has no --%s", name)
		}
	}
}
