package manifests

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// mutations are mistakes, each with the rule that must notice it.
var mutations = []struct {
	name, rule, build string
	change            func(s *set)
}{
	{"readiness on the daemon", "the daemon has a liveness probe and no readiness", "", func(s *set) {
		s.container("haproxyd").ReadinessProbe = s.container("haproxyd").LivenessProbe
	}},
	{"liveness on /readyz", "the daemon has a liveness probe and no readiness", "", func(s *set) { s.container("haproxyd").LivenessProbe.HTTPGet.Path = "/readyz" }},
	{"a daemon without its supervisor", "the daemon has a liveness probe and no readiness", "", func(s *set) {
		s.container("haproxyd").Args = s.container("haproxyd").Args[1:]
	}},
	{"impatient liveness", "the daemon has a liveness probe and no readiness", "", func(s *set) { s.container("haproxyd").LivenessProbe.FailureThreshold = 1 }},
	{"readiness on the daemon's port", "HAProxy's readiness is its own", "", func(s *set) {
		s.container("haproxy").ReadinessProbe.HTTPGet.Port = intstr.FromInt32(9102)
	}},
	{"liveness on HAProxy", "HAProxy's readiness is its own", "", func(s *set) { s.container("haproxy").LivenessProbe = s.container("haproxy").ReadinessProbe }},
	{"the daemon as an ordinary container", "the daemon ends after HAProxy, and both in time", "", func(s *set) { s.container("haproxyd").RestartPolicy = nil }},
	{"no preStop", "the daemon ends after HAProxy, and both in time", "", func(s *set) { s.container("haproxy").Lifecycle = nil }},
	{"a longer hard-stop-after", "the daemon ends after HAProxy, and both in time", "", func(s *set) { s.settings().Data["RENDER_HARD_STOP_AFTER"] = "30s" }},
	{"the daemon before the file", "the daemon ends after HAProxy, and both in time", "", func(s *set) { slices.Reverse(s.workload().pod.Spec.InitContainers) }},
	{"root", "the pod passes PodSecurity restricted, and more", "", func(s *set) { s.workload().pod.Spec.SecurityContext.RunAsUser = new(int64) }},
	{"a capability", "the pod passes PodSecurity restricted, and more", "", func(s *set) {
		s.container("haproxy").SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	}},
	{"hostNetwork", "the pod passes PodSecurity restricted, and more", "daemonset", func(s *set) { s.workload().pod.Spec.HostNetwork = true }},
	{"a writable root", "the pod passes PodSecurity restricted, and more", "", func(s *set) { s.container("render").SecurityContext.ReadOnlyRootFilesystem = nil }},
	{"an image that no overlay can name", "the images can be replaced", "", func(s *set) { s.container("render").Image = "haproxyd" }},
	{"another HAProxy than is rendered for", "the images can be replaced", "", func(s *set) { s.settings().Data["RENDER_HAPROXY_VERSION"] = "2.8" }},
	{"no memory limit", "resources are asked for, memory is bounded, CPU is not", "", func(s *set) { s.container("haproxy").Resources.Limits = nil }},
	{"a CPU limit", "resources are asked for, memory is bounded, CPU is not", "", func(s *set) {
		s.container("haproxyd").Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1")
	}},
	{"no shared sockets", "both containers see the same sockets and file", "", func(s *set) { unmount(s.container("haproxyd"), "/run/haproxy") }},
	{"a read-only haproxy.cfg", "both containers see the same sockets and file", "", func(s *set) {
		for i := range s.container("haproxyd").VolumeMounts {
			s.container("haproxyd").VolumeMounts[i].ReadOnly = true
		}
	}},
	{"no folder for the admin socket", "both containers see the same sockets and file", "", func(s *set) { unmount(s.container("haproxyd"), "/run/haproxyd") }},
	{"no disk", "the record has a disk", "", func(s *set) { unmount(s.container("haproxyd"), "/var/lib/haproxyd") }},
	{"OrderedReady", "a StatefulSet starts all at once and settles", "", func(s *set) { s.stateful[0].Spec.PodManagementPolicy = "OrderedReady" }},
	{"no time to settle", "a StatefulSet starts all at once and settles", "", func(s *set) { s.stateful[0].Spec.MinReadySeconds = 0 }},
	{"five replicas, three proxies", "a StatefulSet starts all at once and settles", "", func(s *set) { *s.stateful[0].Spec.Replicas = 5 }},
	{"another metrics port", "Prometheus finds the metrics", "", func(s *set) { s.workload().pod.Annotations["prometheus.io/port"] = "8404" }},
	{"a PodMonitor for a port that is not there", "Prometheus finds the metrics", "daemonset, monitoring", func(s *set) { s.podMonitor[0].Spec.PodMetricsEndpoints[0].Port = "http" }},
	{"the token for all", "only the daemon has a token", "", func(s *set) { s.workload().pod.Spec.AutomountServiceAccountToken = nil }},
	{"no token", "only the daemon has a token", "", func(s *set) {
		unmount(s.container("haproxyd"), "/var/run/secrets/kubernetes.io/serviceaccount")
	}},
	{"other pods' labels", "selectors select the pods", "", func(s *set) { s.service("haproxy").Spec.Selector["app.kubernetes.io/name"] = "proxy" }},
	{"a policy for nobody", "selectors select the pods", policed, func(s *set) { s.policies[0].Spec.PodSelector.MatchLabels["app.kubernetes.io/name"] = "x" }},
	{"a port without a name", "every port that is named is there", "", func(s *set) { s.service("haproxy").Spec.Ports[0].TargetPort = intstr.FromString("mysqld") }},
	{"not-ready addresses hidden", "the services publish what must be found early", "", func(s *set) { s.service("haproxy-peers").Spec.PublishNotReadyAddresses = false }},
	{"a headless ordinal", "the services publish what must be found early", "", func(s *set) { s.service("haproxy-1").Spec.ClusterIP = corev1.ClusterIPNone }},
	{"clients to fenced HAProxies", "the services publish what must be found early", "", func(s *set) { s.service("haproxy").Spec.PublishNotReadyAddresses = true }},
	{"the pod's name instead of the service's", "the proxies' names are services", "", func(s *set) {
		s.settings().Data["RENDER_PROXIES"] = "haproxy-0=haproxy-0.haproxy-peers"
	}},
	{"an ordinal without the members' port", "the proxies' names are services", "", func(s *set) {
		s.service("haproxy-2").Spec.Ports = s.service("haproxy-2").Spec.Ports[1:]
	}},
	{"dns: of another name", "the proxies' names are services", "daemonset", func(s *set) { s.settings().Data["RENDER_PROXIES"] = "dns:peers" }},
	{"a secret that nobody makes", "every ConfigMap, Secret, volume and account is there", "", func(s *set) {
		for i, v := range s.workload().pod.Spec.Volumes {
			if v.Secret != nil {
				s.workload().pod.Spec.Volumes[i].Secret.SecretName = "gossip"
			}
		}
	}},
	{"the gossip key's file misnamed", "every ConfigMap, Secret, volume and account is there", "", func(s *set) { replace(s.container("haproxyd").Args, "/gossip/keys", "/gossip/key") }},
	{"settings under an old hash", "every ConfigMap, Secret, volume and account is there", "", func(s *set) { s.settings().Name = "haproxy-settings" }},
	{"a volume that is not there", "every ConfigMap, Secret, volume and account is there", "", func(s *set) { s.workload().pod.Spec.Volumes = s.workload().pod.Spec.Volumes[1:] }},
	{"no service account", "every ConfigMap, Secret, volume and account is there", "", func(s *set) { s.accounts = nil }},
	{"a published key", "no secret is part of a base", "", func(s *set) { s.secrets = []*corev1.Secret{{}} }},
	{"a variable that nobody sets", "every variable in the arguments is set", "", func(s *set) { s.container("render").Env = nil }},
	{"a setting that nobody uses", "every variable in the arguments is set", "", func(s *set) { s.settings().Data["RENDER_NODE"] = "x" }},
	{"a budget of two", "one pod at a time is evicted", "", func(s *set) { s.budgets[0].Spec.MaxUnavailable.IntVal = 2 }},
	{"no budget", "one pod at a time is evicted", "", func(s *set) { s.budgets = nil }},
	{"gossip for all", closes, policed, func(s *set) { s.policies[0].Spec.Ingress[0].From = nil }},
	{"gossip for the namespace", closes, policed, func(s *set) { s.policies[0].Spec.Ingress[0].From[0].PodSelector.MatchLabels = nil }},
	{"gossip of any HAProxy", closes, policed, func(s *set) { s.policies[0].Spec.Ingress[0].From[0].NamespaceSelector = &metav1.LabelSelector{} }},
	{"gossip without UDP", closes, policed, func(s *set) {
		s.policies[0].Spec.Ingress[0].Ports = slices.Delete(s.policies[0].Spec.Ingress[0].Ports, 1, 2)
	}},
	{"the range takes the gossip in", closes, policed, func(s *set) { *s.policies[0].Spec.Ingress[2].Ports[0].EndPort = 7946 }},
	{"the range ends early", closes, policed, func(s *set) { *s.policies[0].Spec.Ingress[2].Ports[3].EndPort = 65534 }},
	{"no range for SCTP", closes, policed, func(s *set) { s.policies[0].Spec.Ingress[2].Ports = s.policies[0].Spec.Ingress[2].Ports[:6] }},
	{"clients shut out", closes, policed, func(s *set) { s.policies[0].Spec.Ingress = s.policies[0].Spec.Ingress[:2] }},
	{"metrics for all", closes, policed, func(s *set) { s.policies[0].Spec.Ingress[1].From = nil }},
	{"a policy on the way out", closes, policed, func(s *set) {
		s.policies[0].Spec.PolicyTypes = append(s.policies[0].Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}},
	{"a policy in the base", closes, "", func(s *set) { s.policies = []*networkingv1.NetworkPolicy{{}} }},
	{"a role that deletes", "the role reads pods and nothing else", "", func(s *set) { s.roles[0].Rules[0].Verbs = append(s.roles[0].Rules[0].Verbs, "delete") }},
	{"a binding for another", "the role reads pods and nothing else", "", func(s *set) { s.bindings[0].Subjects[0].Name = "default" }},
	{"an object without labels", "every object has the project's labels", "", func(s *set) { s.service("haproxy-3").Labels = nil }},
}

// policed is the build with the component network-policy, closes the rule about it.
const (
	policed = "sidecar, five, ephemeral, monitoring, network-policy"
	closes  = "gossip and peers are the HAProxies' own, and nothing else is closed"
)

func unmount(c *corev1.Container, path string) {
	c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
}

func replace(args []string, from, to string) {
	for i, a := range args {
		if n := len(a) - len(from); n >= 0 && a[n:] == from {
			args[i] = a[:n] + to
		}
	}
}

// Every rule notices its mistake: a rule that cannot fail would be no rule.
func TestMutations(t *testing.T) {
	proved := map[string]bool{}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			b := builds[0]
			if m.build != "" {
				b = builds[slices.IndexFunc(builds, func(x buildCase) bool { return x.name == m.build })]
			}
			s := build(t, b.dir, b.overlay)
			m.change(s)
			i := slices.IndexFunc(allRules(), func(r projectRule) bool { return r.name == m.rule })
			if i < 0 {
				t.Fatalf("there is no rule %q", m.rule)
			}
			if len(allRules()[i].check(s)) == 0 {
				t.Fatalf("%q noticed nothing", m.rule)
			}
		})
		proved[m.rule] = true
	}
	for _, r := range allRules() {
		if !proved[r.name] {
			t.Errorf("no mutation proves %q", r.name)
		}
	}
}
