package manifests

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// host is one end of a connection: a pod with its namespace, or an address outside of the cluster.
type host struct {
	name            string // for people
	namespace       string // "" for an address that is no pod's
	namespaceLabels labels.Set
	labels          labels.Set
	address         string
	ports           map[string]int32 // of its containers, by name
	ownNode         bool             // the node that the pod runs on, which nothing keeps out
}

// allows is the network policies' meaning (networking.k8s.io/v1): what may come in at a port of a pod. Nothing of it is
// this project's: a pod that no policy selects is open; one that is selected is closed but for what a rule of any of them
// opens.
func allows(policies []*networkingv1.NetworkPolicy, to, from host, port int32, protocol corev1.Protocol) bool {
	return rulesFor(policies, to, from).open(port, protocol)
}

// openings are what the policies open for one caller of a pod.
type openings struct {
	all   bool // no policy selects the pod, or nothing keeps this caller out
	rules [][]networkingv1.NetworkPolicyPort
	to    host
}

func (o openings) open(port int32, protocol corev1.Protocol) bool {
	return o.all || slices.ContainsFunc(o.rules, func(ports []networkingv1.NetworkPolicyPort) bool { return opensPort(ports, o.to, port, protocol) })
}

func rulesFor(policies []*networkingv1.NetworkPolicy, to, from host) openings {
	o := openings{to: to, all: true}
	if from.ownNode {
		return o
	}
	for _, p := range policies {
		ingress := len(p.Spec.PolicyTypes) == 0 || slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		if !ingress || p.Namespace != to.namespace || !matches(&p.Spec.PodSelector, to.labels) {
			continue
		}
		o.all = false
		for _, r := range p.Spec.Ingress {
			if opensTo(r.From, p.Namespace, from) {
				o.rules = append(o.rules, r.Ports)
			}
		}
	}
	return o
}

func opensTo(peers []networkingv1.NetworkPolicyPeer, namespace string, from host) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return inBlock(p.IPBlock, from.address)
		}
		if from.namespace == "" {
			return false
		}
		if p.NamespaceSelector == nil && from.namespace != namespace || p.NamespaceSelector != nil && !matches(p.NamespaceSelector, from.namespaceLabels) {
			return false
		}
		return p.PodSelector == nil || matches(p.PodSelector, from.labels)
	})
}

func opensPort(ports []networkingv1.NetworkPolicyPort, to host, port int32, protocol corev1.Protocol) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Protocol == nil && protocol != corev1.ProtocolTCP || p.Protocol != nil && *p.Protocol != protocol {
			return false
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			n, ok := to.ports[p.Port.StrVal]
			return ok && n == port
		case p.EndPort != nil:
			return p.Port.IntVal <= port && port <= *p.EndPort
		}
		return p.Port.IntVal == port
	})
}

func matches(s *metav1.LabelSelector, set labels.Set) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		panic(err)
	}
	return selector.Matches(set)
}

func inBlock(b *networkingv1.IPBlock, address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil || !netip.MustParsePrefix(b.CIDR).Contains(a) {
		return false
	}
	return !slices.ContainsFunc(b.Except, func(x string) bool { return netip.MustParsePrefix(x).Contains(a) })
}

// The evaluator itself, on a policy that has everything.
func TestAllows(t *testing.T) {
	const text = `
metadata: {namespace: a}
spec:
  podSelector: {matchLabels: {app: haproxy}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: peer}}}]
    ports: [{port: 10, endPort: 12}, {port: web}, {port: 20, protocol: UDP}]
  - from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchExpressions: [{key: app, operator: In, values: [shop]}]}}]
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{protocol: SCTP}]
`
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	x := host{namespace: "a", labels: labels.Set{"app": "haproxy"}, ports: map[string]int32{"web": 80}}
	y := host{namespace: "a", labels: labels.Set{"app": "peer"}}
	yElsewhere := host{namespace: "b", labels: labels.Set{"app": "peer"}, namespaceLabels: labels.Set{"team": "red"}}
	z := host{namespace: "b", labels: labels.Set{"app": "shop"}, namespaceLabels: labels.Set{"team": "red"}}
	zElsewhere := host{namespace: "c", labels: labels.Set{"app": "shop"}, namespaceLabels: labels.Set{"team": "blue"}}
	for _, tt := range []struct {
		to, from host
		port     int32
		protocol corev1.Protocol
		want     bool
	}{
		{x, y, 10, "TCP", true}, {x, y, 11, "TCP", true}, {x, y, 12, "TCP", true}, {x, y, 9, "TCP", false}, {x, y, 13, "TCP", false},
		{x, y, 11, "UDP", false}, {x, y, 80, "TCP", true}, {x, y, 81, "TCP", false}, {x, y, 20, "UDP", true}, {x, y, 20, "TCP", false},
		{x, yElsewhere, 10, "TCP", false}, {x, z, 1, "TCP", true}, {x, z, 9, "SCTP", true}, {x, zElsewhere, 1, "TCP", false},
		{x, host{address: "10.2.0.1"}, 5, "SCTP", true}, {x, host{address: "10.1.0.1"}, 5, "SCTP", false}, {x, host{address: "11.0.0.1"}, 5, "SCTP", false},
		{x, host{address: "10.2.0.1"}, 5, "TCP", false}, {x, host{ownNode: true}, 5, "TCP", true},
		{y, zElsewhere, 1, "TCP", true}, // no policy selects it
		{host{namespace: "b", labels: labels.Set{"app": "haproxy"}}, zElsewhere, 1, "TCP", true}, // another namespace's
	} {
		if got := allows([]*networkingv1.NetworkPolicy{p}, tt.to, tt.from, tt.port, tt.protocol); got != tt.want {
			t.Errorf("%+v to %+v, %s %d: %v", tt.from, tt.to, tt.protocol, tt.port, got)
		}
	}
	// Two policies open what either does.
	closed := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a"}}
	if allows([]*networkingv1.NetworkPolicy{closed}, x, y, 10, "TCP") || !allows([]*networkingv1.NetworkPolicy{closed, p}, x, y, 10, "TCP") {
		t.Error("policies do not add up")
	}
}
