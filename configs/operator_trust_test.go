package configs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The daemon's key comes from the Secret that the head tells to make, and from nowhere else.
func TestPerconaOperatorKey(t *testing.T) {
	in := operatorInput()
	in.Encrypt = "send"
	data, err := PerconaOperator(in)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Spec struct {
			HAProxy struct {
				Sidecars []struct {
					Args         []string
					VolumeMounts []struct {
						Name      string
						MountPath string `yaml:"mountPath"`
						ReadOnly  bool   `yaml:"readOnly"`
					} `yaml:"volumeMounts"`
				}
				SidecarVolumes []struct {
					Name   string
					Secret struct {
						SecretName string `yaml:"secretName"`
					}
				} `yaml:"sidecarVolumes"`
			} `yaml:"haproxy"`
		}
	}
	if err := yaml.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	name, path := "", ""
	for _, v := range p.Spec.HAProxy.SidecarVolumes {
		if v.Secret.SecretName == "test-pxc-db-haproxyd-gossip" {
			name = v.Name
		}
	}
	d := p.Spec.HAProxy.Sidecars[0]
	for _, m := range d.VolumeMounts {
		if m.Name == name && m.ReadOnly {
			path = m.MountPath
		}
	}
	if !slices.Contains(d.Args, "--gossip-key-file="+path+"/keys") || !slices.Contains(d.Args, "--gossip-encrypt=send") {
		t.Errorf("volume %q at %q, arguments %v", name, path, d.Args)
	}
	if !strings.Contains(string(data), "haproxyctl gossip-key | kubectl -n pxc create secret generic test-pxc-db-haproxyd-gossip --from-file=keys=/dev/stdin") {
		t.Error("nothing says how the Secret is made")
	}
	if m := regexp.MustCompile(`[A-Za-z0-9+/]{43}=|[0-9a-f]{32}`).FindString(string(data)); m != "" {
		t.Errorf("a key is in the patch: %s", m)
	}
	in.Encrypt = "never"
	if _, err := PerconaOperator(in); err == nil {
		t.Error("a word that haproxyd does not know was accepted")
	}
}

func TestPerconaSecret(t *testing.T) {
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	data, err := PerconaSecret(operatorInput(), key)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Kind       string
		Metadata   struct{ Name, Namespace string }
		StringData map[string]string `yaml:"stringData"`
	}
	if err := yaml.Unmarshal(data, &s); err != nil || s.Kind != "Secret" || s.Metadata.Name != operatorInput().Secret() || s.Metadata.Namespace != "pxc" || s.StringData["keys"] != key || len(s.StringData) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "a\nb", `a"b`} {
		if _, err := PerconaSecret(operatorInput(), bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	in := operatorInput()
	in.Namespace = "a b"
	if _, err := PerconaSecret(in, key); err == nil {
		t.Error("a namespace of two words was accepted")
	}
	if _, err := PerconaNetworkPolicy(in); err == nil {
		t.Error("a namespace of two words was accepted")
	}
}
