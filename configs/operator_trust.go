package configs

import (
	"errors"
	"fmt"
	"strings"
)

// Secret is the name of the Secret with the daemons' gossip key, whose only key is "keys". Each cluster has its own.
func (in OperatorInput) Secret() string { return in.Cluster + "-haproxyd-gossip" }

// PerconaSecret writes the manifest of that Secret, with the key that is given: the one text with a key in it, made to be
// piped into kubectl and kept nowhere.
func PerconaSecret(in OperatorInput, key string) ([]byte, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	if key == "" || strings.ContainsAny(key, "\n\"\\") {
		return nil, errors.New("secret: what is given is no gossip key")
	}
	return fmt.Appendf(nil, `# The key of the daemons' gossip. It is made anew each time: pipe this into kubectl, and keep it nowhere.
#   haproxyctl config operator --cluster %[1]s --namespace %[2]s --print secret | kubectl create -f -
# create and not apply: a Secret that is there is never replaced, because running daemons use its key.
apiVersion: v1
kind: Secret
metadata:
  name: %[3]s
  namespace: %[2]s
type: Opaque
stringData:
  keys: "%[4]s"
`, in.Cluster, in.Namespace, in.Secret(), key), nil
}

// PerconaNetworkPolicy writes a NetworkPolicy that keeps everybody else off the daemons' gossip and /metrics, and leaves
// every other port of the operator's HAProxy pods as it was.
//
// The labels are those that the operator gives its HAProxy pods (pkg/pxc/app/statefulset/haproxy.go and
// pkg/naming/labels.go: name, instance, component).
func PerconaNetworkPolicy(in OperatorInput) ([]byte, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	return execute("percona-network-policy.yaml.tmpl", in)
}
