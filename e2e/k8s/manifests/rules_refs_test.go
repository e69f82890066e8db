package manifests

import (
	"os"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// referenceRules are about what refers to what, and who may reach whom.
var referenceRules = []projectRule{
	{"selectors select the pods", selectors},
	{"every port that is named is there", ports},
	{"the services publish what must be found early", publishing},
	{"the proxies' names are services", proxyNames},
	{"every ConfigMap, Secret, volume and account is there", references},
	{"no secret is part of a base", noSecrets},
	{"every variable in the arguments is set", variables},
	{"one pod at a time is evicted", budget},
	{"gossip and peers are the HAProxies' own, and nothing else is closed", network},
	{"the role reads pods and nothing else", role},
	{"every object has the project's labels", labelled},
}

var projectLabels = map[string]string{"app.kubernetes.io/name": "haproxy", "app.kubernetes.io/part-of": "haproxy-peers"}

// selects tells whether a selector, which must not be empty, matches the labels.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// podLabels are those of one of the pods: the template's and, in a StatefulSet, its name.
func (s *set) podLabels(name string) map[string]string {
	out := map[string]string{"statefulset.kubernetes.io/pod-name": name}
	for k, v := range s.workload().pod.Labels {
		out[k] = v
	}
	return out
}

func selectors(s *set) (p []string) {
	w := s.workload()
	if !selects(w.selector.MatchLabels, w.pod.Labels) {
		complain(&p, "the %s does not select its own pods", w.kind)
	}
	for _, x := range s.services {
		if !selects(x.Spec.Selector, s.podLabels(x.Name)) {
			complain(&p, "service %s selects nothing", x.Name)
		}
	}
	for _, x := range s.policies {
		if !selects(x.Spec.PodSelector.MatchLabels, w.pod.Labels) {
			complain(&p, "network policy %s selects nothing", x.Name)
		}
	}
	if a := w.pod.Spec.Affinity; a != nil {
		for _, t := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			if !selects(t.PodAffinityTerm.LabelSelector.MatchLabels, w.pod.Labels) {
				complain(&p, "the anti-affinity keeps away from somebody else")
			}
		}
	}
	for _, t := range w.pod.Spec.TopologySpreadConstraints {
		if !selects(t.LabelSelector.MatchLabels, w.pod.Labels) {
			complain(&p, "the topology spread counts somebody else")
		}
	}
	if w.kind == "StatefulSet" && (w.pod.Spec.Affinity == nil || len(w.pod.Spec.TopologySpreadConstraints) == 0) {
		complain(&p, "nothing spreads the HAProxies")
	}
	return p
}

func ports(s *set) (p []string) {
	have := map[string]bool{}
	for _, c := range s.containers() {
		for _, x := range c.Ports {
			have[x.Name] = true
		}
	}
	for _, x := range s.services {
		for _, port := range x.Spec.Ports {
			if name := port.TargetPort.StrVal; !have[name] {
				complain(&p, "service %s: target port %q is no container's", x.Name, name)
			}
		}
	}
	return p
}

func publishing(s *set) (p []string) {
	headless := s.service("haproxy-peers")
	if headless == nil || headless.Spec.ClusterIP != corev1.ClusterIPNone || !headless.Spec.PublishNotReadyAddresses {
		complain(&p, "haproxy-peers is not a headless service that publishes not-ready addresses: the daemons could not find each other before they are ready")
	}
	if x := s.workload().stateful; x != nil && x.Spec.ServiceName != "haproxy-peers" {
		complain(&p, "the StatefulSet's service is %q", x.Spec.ServiceName)
	}
	for _, x := range s.services {
		ordinal := x.Spec.Selector["statefulset.kubernetes.io/pod-name"] != ""
		if ordinal && (x.Spec.ClusterIP == corev1.ClusterIPNone || !x.Spec.PublishNotReadyAddresses) {
			complain(&p, "%s: HAProxy starts only if the name of each peer resolves, so it must be an address of its own that is always there", x.Name)
		}
		if strings.HasPrefix(x.Name, "haproxy") && !ordinal && x.Name != "haproxy-peers" && x.Spec.PublishNotReadyAddresses {
			complain(&p, "%s sends clients to HAProxies that are not ready", x.Name)
		}
	}
	if s.service("haproxy") == nil {
		complain(&p, "there is no service for the clients")
	}
	if s.workload().kind == "DaemonSet" && (s.service("haproxy-local") == nil || s.service("haproxy-0") != nil) {
		complain(&p, "a DaemonSet has a service haproxy-local and no ordinals")
	}
	return p
}

func proxyNames(s *set) (p []string) {
	value := s.settings().Data["RENDER_PROXIES"]
	if host, ok := strings.CutPrefix(value, "dns:"); ok {
		if s.service(host) == nil || s.workload().kind != "DaemonSet" {
			complain(&p, "RENDER_PROXIES %q names no service, or pods that have ordinals", value)
		}
		return p
	}
	for i, x := range strings.Split(value, ",") {
		name, host, _ := strings.Cut(x, "=")
		svc := s.service(host)
		if svc == nil || svc.Spec.Selector["statefulset.kubernetes.io/pod-name"] != name {
			complain(&p, "RENDER_PROXIES: %q is no service of the pod %s", host, name)
			continue
		}
		got := map[int32]bool{}
		for _, port := range svc.Spec.Ports {
			got[port.Port] = true
		}
		if !got[10000] || !got[9102] {
			complain(&p, "service %s lacks port 10000 (peers) or 9102 (--from-members)", host)
		}
		if i >= s.workload().replicas {
			complain(&p, "RENDER_PROXIES: %s has no replica", name)
		}
	}
	return p
}

// readmeSecrets are the secrets that the README tells to create, with their keys.
func readmeSecrets() map[string]string {
	data, err := os.ReadFile(kubernetes + "/README.md")
	if err != nil {
		panic(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`create secret generic (\S+) .*--from-(?:literal|file)=(\w+)=`).FindAllStringSubmatch(string(data), -1) {
		out[m[1]] = m[2]
	}
	return out
}

func references(s *set) (p []string) {
	w := s.workload()
	configs := map[string]bool{"kube-root-ca.crt": true} // every namespace has that one
	for _, c := range s.configs {
		configs[c.Name] = true
	}
	documented := readmeSecrets()
	volumes := map[string]bool{}
	for _, c := range w.claims {
		volumes[c.Name] = true
	}
	keys := map[string]string{} // volume -> the file of its secret
	for _, v := range w.pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.Secret != nil {
			keys[v.Name] = documented[v.Secret.SecretName]
			if keys[v.Name] == "" {
				complain(&p, "secret %s: the README does not say how it is made", v.Secret.SecretName)
			}
		}
		if v.ConfigMap != nil && !configs[v.ConfigMap.Name] {
			complain(&p, "volume %s: ConfigMap %s is not there", v.Name, v.ConfigMap.Name)
		}
		if v.Projected != nil {
			for _, src := range v.Projected.Sources {
				if src.ConfigMap != nil && !configs[src.ConfigMap.Name] {
					complain(&p, "volume %s: ConfigMap %s is not there", v.Name, src.ConfigMap.Name)
				}
			}
		}
	}
	for _, c := range s.containers() {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				complain(&p, "%s: volume %s is not there", c.Name, m.Name)
			}
			if key := keys[m.Name]; key != "" && !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasSuffix(a, "="+m.MountPath+"/"+key) }) {
				complain(&p, "%s: no argument names %s/%s, the key that the README's command makes", c.Name, m.MountPath, key)
			}
		}
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef == nil || !configs[e.ConfigMapRef.Name] {
				complain(&p, "%s: its envFrom is not there", c.Name)
			}
		}
	}
	if !slices.ContainsFunc(s.accounts, func(a *corev1.ServiceAccount) bool { return a.Name == w.pod.Spec.ServiceAccountName }) {
		complain(&p, "service account %q is not there", w.pod.Spec.ServiceAccountName)
	}
	return p
}

func noSecrets(s *set) (p []string) {
	for _, x := range s.secrets {
		complain(&p, "secret %s would be everybody's", x.Name)
	}
	return p
}

func variables(s *set) (p []string) {
	for _, c := range s.containers() {
		known := s.environment(c)
		for _, a := range c.Args {
			for _, m := range regexp.MustCompile(`\$\((\w+)\)`).FindAllStringSubmatch(a, -1) {
				if _, ok := known[m[1]]; !ok {
					complain(&p, "%s: nothing sets %s", c.Name, m[1])
				}
			}
		}
	}
	for k := range s.settings().Data {
		used := strings.HasPrefix(k, "HAPROXYD_") || slices.ContainsFunc(s.container("render").Args, func(a string) bool { return strings.Contains(a, "$("+k+")") })
		if !used && (k != "RENDER_PEERS_BIND" || s.workload().kind != "DaemonSet") {
			complain(&p, "setting %s is used by nobody", k)
		}
	}
	return p
}

// environment is what a container's arguments can name; what comes from the pod's
// own fields has an example's value.
func (s *set) environment(c *corev1.Container) map[string]string {
	out := map[string]string{}
	if len(c.EnvFrom) > 0 {
		for k, v := range s.settings().Data {
			out[k] = v
		}
	}
	for _, e := range c.Env {
		out[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			switch e.ValueFrom.FieldRef.FieldPath {
			case "metadata.name":
				out[e.Name] = "haproxy-0"
			case "status.podIP":
				out[e.Name] = "127.0.0.1"
			}
		}
	}
	return out
}

func budget(s *set) (p []string) {
	w := s.workload()
	if w.kind == "DaemonSet" {
		if len(s.budgets) > 0 {
			complain(&p, "a budget for a DaemonSet: the eviction API cannot count its pods")
		}
		return p
	}
	if len(s.budgets) != 1 {
		return []string{"there is no PodDisruptionBudget"}
	}
	b := s.budgets[0].Spec
	if b.MaxUnavailable == nil || b.MaxUnavailable.IntVal != 1 || b.MinAvailable != nil {
		complain(&p, "the budget allows other than one pod")
	}
	if !selects(b.Selector.MatchLabels, w.pod.Labels) {
		complain(&p, "the budget does not select the pods")
	}
	return p
}

func role(s *set) (p []string) {
	if len(s.roles) != 1 || len(s.bindings) != 1 {
		return []string{"there is no role, or no binding"}
	}
	r, b := s.roles[0], s.bindings[0]
	want := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}}
	if len(r.Rules) != 1 || !slices.Equal(r.Rules[0].APIGroups, want.APIGroups) || !slices.Equal(r.Rules[0].Resources, want.Resources) || !slices.Equal(r.Rules[0].Verbs, want.Verbs) {
		complain(&p, "the role is %+v", r.Rules)
	}
	if b.RoleRef.Kind != "Role" || b.RoleRef.Name != r.Name || len(b.Subjects) != 1 || b.Subjects[0].Name != s.workload().pod.Spec.ServiceAccountName {
		complain(&p, "the binding does not give the role to the pods' account")
	}
	return p
}

func labelled(s *set) (p []string) {
	check := func(kind, name string, labels map[string]string) {
		if !selects(projectLabels, labels) {
			complain(&p, "%s %s lacks the project's labels", kind, name)
		}
	}
	for _, x := range s.services {
		check("service", x.Name, x.Labels)
	}
	for _, x := range s.stateful {
		check("StatefulSet", x.Name, x.Labels)
	}
	for _, x := range s.policies {
		check("network policy", x.Name, x.Labels)
	}
	for _, x := range s.roles {
		check("role", x.Name, x.Labels)
	}
	return p
}
