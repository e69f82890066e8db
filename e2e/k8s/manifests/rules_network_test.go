package manifests

import (
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// closedTo says who may reach the ports that a policy closes: the HAProxies' own, and Prometheus. Every other port is as
// it was, open to all.
func closedTo(from host, port int32, protocol corev1.Protocol) (open bool) {
	own, prometheus := from.name == "another HAProxy", from.name == "Prometheus in monitoring" || from.name == "Prometheus beside them"
	switch {
	case port == 7946 && protocol != corev1.ProtocolSCTP:
		return own
	case port == 9102 && protocol == corev1.ProtocolTCP:
		return own || prometheus
	case port == 10000 && protocol == corev1.ProtocolTCP:
		return own
	}
	return true
}

// callers are those whom a HAProxy's pod with these labels may hear from.
func callers(namespace string, pod labels.Set) []host {
	monitoring := labels.Set{"kubernetes.io/metadata.name": "monitoring"}
	own := labels.Set{"kubernetes.io/metadata.name": namespace}
	almost := labels.Set{}
	for k, v := range pod {
		if k != "app.kubernetes.io/part-of" && k != "app.kubernetes.io/component" {
			almost[k] = v
		}
	}
	return []host{
		{name: "another HAProxy", namespace: namespace, namespaceLabels: own, labels: pod},
		{name: "a client beside them", namespace: namespace, namespaceLabels: own, labels: labels.Set{"app": "shop"}},
		{name: "a database", namespace: namespace, namespaceLabels: own, labels: labels.Set{"app.kubernetes.io/name": "pxc"}},
		{name: "something of a name like theirs", namespace: namespace, namespaceLabels: own, labels: almost},
		{name: "a client elsewhere", namespace: "shop", namespaceLabels: labels.Set{"kubernetes.io/metadata.name": "shop"}, labels: labels.Set{"app": "shop"}},
		{name: "a HAProxy of another namespace", namespace: "shop", namespaceLabels: labels.Set{"kubernetes.io/metadata.name": "shop"}, labels: pod},
		{name: "Prometheus in monitoring", namespace: "monitoring", namespaceLabels: monitoring, labels: labels.Set{"app": "p"}},
		{name: "Prometheus beside them", namespace: namespace, namespaceLabels: own, labels: labels.Set{"app.kubernetes.io/name": "prometheus"}},
		{name: "a Prometheus elsewhere", namespace: "shop", namespaceLabels: labels.Set{"kubernetes.io/metadata.name": "shop"}, labels: labels.Set{"app.kubernetes.io/name": "prometheus"}},
		{name: "a host outside", address: "192.0.2.1"},
	}
}

// askPolicies asks for every port of every protocol and every caller, and names what is other than it should be.
func askPolicies(policies []*networkingv1.NetworkPolicy, to host) (p []string) {
	for _, from := range callers(to.namespace, to.labels) {
		opened := rulesFor(policies, to, from)
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			wrong := 0
			for port := int32(1); port <= 65535; port++ {
				got, want := opened.open(port, protocol), closedTo(from, port, protocol)
				if got == want {
					continue
				}
				if wrong++; wrong == 1 {
					complain(&p, "%s %d is open to %s: %v, want %v", protocol, port, from.name, got, want)
				}
			}
			if wrong > 1 {
				complain(&p, "... and %d ports more of %s for %s", wrong-1, protocol, from.name)
			}
		}
	}
	if !allows(policies, to, host{ownNode: true}, 9103, corev1.ProtocolTCP) {
		complain(&p, "the kubelet cannot probe")
	}
	return p
}

// network: a policy is a component, so a base has none; where there is one it closes three ports and no other, and says
// nothing of what the pods may reach.
func network(s *set) (p []string) {
	if !s.overlay {
		if len(s.policies) > 0 {
			complain(&p, "the base has a network policy: it is to be an optional component")
		}
		return p
	}
	if len(s.policies) == 0 {
		return nil // an overlay that does without
	}
	for _, x := range s.policies {
		if !slices.Equal(x.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
			complain(&p, "the policy is for %v", x.Spec.PolicyTypes)
		}
	}
	return append(p, askPolicies(s.policies, host{namespace: s.policies[0].Namespace, labels: s.workload().pod.Labels})...)
}

// The operator's pods: the policy that is printed selects them by the labels that the operator gives them.
func TestPerconaNetworkPolicy(t *testing.T) {
	out, err := run(t, "haproxyctl", "config", "operator", "--cluster", "cluster1", "--namespace", "pxc", "--print", "network-policy")
	if err != nil {
		t.Fatal(out)
	}
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(out), p); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	pod := labels.Set{
		"app.kubernetes.io/name": "percona-xtradb-cluster", "app.kubernetes.io/instance": "cluster1", "app.kubernetes.io/component": "haproxy",
		"app.kubernetes.io/managed-by": "percona-xtradb-cluster-operator", "app.kubernetes.io/part-of": "percona-xtradb-cluster",
	}
	for _, problem := range askPolicies([]*networkingv1.NetworkPolicy{p}, host{namespace: "pxc", labels: pod}) {
		t.Error(problem)
	}
	// Another cluster's HAProxies are strangers, and its database pods are left alone.
	other := labels.Set{"app.kubernetes.io/name": "percona-xtradb-cluster", "app.kubernetes.io/instance": "cluster2", "app.kubernetes.io/component": "haproxy"}
	from := host{namespace: "pxc", labels: other}
	if allows([]*networkingv1.NetworkPolicy{p}, host{namespace: "pxc", labels: pod}, from, 7946, corev1.ProtocolTCP) {
		t.Error("another cluster's HAProxies may speak to the gossip")
	}
	database := host{namespace: "pxc", labels: labels.Set{"app.kubernetes.io/name": "percona-xtradb-cluster", "app.kubernetes.io/instance": "cluster1", "app.kubernetes.io/component": "pxc"}}
	if !allows([]*networkingv1.NetworkPolicy{p}, database, from, 7946, corev1.ProtocolTCP) {
		t.Error("the policy selects the databases")
	}
	// Both policies are one.
	data := build(t, builds[2].dir, true).policies
	if len(data) != 1 || !reflect.DeepEqual(data[0].Spec.Ingress[2], p.Spec.Ingress[2]) {
		t.Error("the component and the operator's policy leave different ports as they were")
	}
}
