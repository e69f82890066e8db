package manifests

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// projectRule is one thing that must hold; check says what does not.
type projectRule struct {
	name  string
	check func(s *set) []string
}

// podRules are about the pods of the HAProxies.
var podRules = []projectRule{
	{"the daemon has a liveness probe and no readiness", daemonProbes},
	{"HAProxy's readiness is its own", haproxyProbes},
	{"the daemon ends after HAProxy, and both in time", endings},
	{"the pod passes PodSecurity restricted, and more", security},
	{"the images can be replaced", images},
	{"resources are asked for, memory is bounded, CPU is not", resources},
	{"both containers see the same sockets and file", sharedFolders},
	{"the record has a disk", record},
	{"a StatefulSet starts all at once and settles", startsParallel},
	{"Prometheus finds the metrics", scraped},
	{"only the daemon has a token", token},
}

func complain(problems *[]string, format string, args ...any) {
	*problems = append(*problems, fmt.Sprintf(format, args...))
}

// portNamed resolves a port of a container, by number or name.
func portNamed(c *corev1.Container, p intstr.IntOrString) int32 {
	if p.Type == intstr.Int {
		return p.IntVal
	}
	for _, x := range c.Ports {
		if x.Name == p.StrVal {
			return x.ContainerPort
		}
	}
	return 0
}

func daemonProbes(s *set) (p []string) {
	d := s.container("haproxyd")
	if d.ReadinessProbe != nil || d.StartupProbe != nil {
		complain(&p, "haproxyd has a readiness or startup probe: a bad daemon would take its HAProxy out of the service")
	}
	l := d.LivenessProbe
	if l == nil || l.HTTPGet == nil || l.HTTPGet.Path != "/healthz" || portNamed(d, l.HTTPGet.Port) != 9103 || !slices.Contains(d.Args, "--supervise=:9103") {
		complain(&p, "haproxyd's liveness is not GET /healthz of its supervisor at :9103: a dead daemon would take its HAProxy out of the service")
	} else if time.Duration(l.PeriodSeconds*l.FailureThreshold)*time.Second < 20*time.Second {
		complain(&p, "haproxyd is restarted after %d x %d s", l.FailureThreshold, l.PeriodSeconds)
	}
	return p
}

func haproxyProbes(s *set) (p []string) {
	h := s.container("haproxy")
	r := h.ReadinessProbe
	if r == nil || r.HTTPGet == nil || r.HTTPGet.Path != "/ready" || portNamed(h, r.HTTPGet.Port) != 8404 {
		complain(&p, "haproxy's readiness is not GET :8404/ready")
	} else if r.PeriodSeconds*r.FailureThreshold > 5 {
		complain(&p, "a fenced HAProxy stays in the service for %d s", r.PeriodSeconds*r.FailureThreshold)
	}
	if h.LivenessProbe != nil || h.StartupProbe != nil {
		complain(&p, "haproxy has a liveness or startup probe: it can only cut sessions")
	}
	return p
}

func endings(s *set) (p []string) {
	spec := &s.workload().pod.Spec
	names := []string{}
	for _, c := range spec.InitContainers {
		names = append(names, c.Name)
	}
	if !slices.Equal(names, []string{"render", "haproxyd"}) {
		complain(&p, "the init containers are %v: first render, then the daemon as a sidecar", names)
	}
	if d := s.container("haproxyd"); d.RestartPolicy == nil || *d.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		complain(&p, "haproxyd is no sidecar container (restartPolicy: Always): it would be stopped together with HAProxy")
	}
	h := s.container("haproxy")
	if h.Lifecycle == nil || h.Lifecycle.PreStop == nil || h.Lifecycle.PreStop.Sleep == nil {
		complain(&p, "haproxy has no preStop sleep: it would stop while the service still sends it clients")
		return p
	}
	sleep := time.Duration(h.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	hard, err := time.ParseDuration(s.settings().Data["RENDER_HARD_STOP_AFTER"])
	if err != nil {
		complain(&p, "RENDER_HARD_STOP_AFTER: %v", err)
	}
	if spec.TerminationGracePeriodSeconds == nil {
		complain(&p, "no terminationGracePeriodSeconds")
	} else if grace := time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second; sleep+hard+10*time.Second > grace {
		complain(&p, "preStop %s, hard-stop-after %s and 10 s for the daemon's farewell exceed the grace period %s", sleep, hard, grace)
	}
	return p
}

// restricted is Kubernetes' own judge of the standard, as the API server uses it.
var restricted = func() policy.Evaluator {
	e, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		panic(err)
	}
	return e
}()

func security(s *set) (p []string) {
	pod := s.workload().pod
	level := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	if r := policy.AggregateCheckResults(restricted.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec)); !r.Allowed {
		complain(&p, "PodSecurity restricted: %s: %s", r.ForbiddenReason(), r.ForbiddenDetail())
	}
	sc := pod.Spec.SecurityContext
	if sc == nil || sc.RunAsUser == nil || *sc.RunAsUser != 65532 || sc.FSGroup == nil || *sc.FSGroup != 65532 {
		complain(&p, "the pod does not run as 65532 with that fsGroup, as which its containers share their sockets and the disk")
	}
	for _, c := range s.containers() {
		if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			complain(&p, "%s: its root is not read-only", c.Name)
		}
	}
	return p
}

func images(s *set) (p []string) {
	want := map[string]string{"render": "ghcr.io/haproxy-peers/haproxyd:latest", "haproxyd": "ghcr.io/haproxy-peers/haproxyd:latest", "haproxy": "docker.io/library/haproxy:3.0"}
	if s.overlay {
		want = map[string]string{"render": "registry.example/haproxyd:v1", "haproxyd": "registry.example/haproxyd:v1", "haproxy": "registry.example/haproxy:2.6"}
	}
	for _, c := range s.containers() {
		if c.Image != want[c.Name] {
			complain(&p, "%s: image %q instead of %q", c.Name, c.Image, want[c.Name])
		}
	}
	version := s.settings().Data["RENDER_HAPROXY_VERSION"]
	if tag := s.container("haproxy").Image; !strings.HasSuffix(tag, ":"+version) {
		complain(&p, "RENDER_HAPROXY_VERSION is %q and the image %q", version, tag)
	}
	return p
}

func resources(s *set) (p []string) {
	for _, c := range s.containers() {
		r := c.Resources
		if r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
			complain(&p, "%s: needs requests of CPU and memory, and a limit of memory", c.Name)
		}
		if !r.Limits.Cpu().IsZero() {
			complain(&p, "%s: a CPU limit throttles heartbeats and health checks", c.Name)
		}
	}
	return p
}

// mounts are a container's folders and the volumes behind them.
func mounts(c *corev1.Container) map[string]string {
	out := map[string]string{}
	for _, m := range c.VolumeMounts {
		out[m.MountPath] = m.Name
	}
	return out
}

func sharedFolders(s *set) (p []string) {
	h, d, r := mounts(s.container("haproxy")), mounts(s.container("haproxyd")), mounts(s.container("render"))
	if h["/run/haproxy"] == "" || h["/run/haproxy"] != d["/run/haproxy"] {
		complain(&p, "haproxy and haproxyd do not share /run/haproxy")
	}
	if h["/etc/haproxy"] == "" || h["/etc/haproxy"] != d["/etc/haproxy"] || h["/etc/haproxy"] != r["/etc/haproxy"] {
		complain(&p, "the containers do not share /etc/haproxy")
	}
	for _, m := range s.container("haproxyd").VolumeMounts {
		if m.MountPath == "/etc/haproxy" && m.ReadOnly {
			complain(&p, "haproxyd cannot rewrite haproxy.cfg")
		}
	}
	if d["/run/haproxyd"] == "" {
		complain(&p, "haproxyd has no folder for its admin socket, under a read-only root")
	}
	return p
}

func record(s *set) (p []string) {
	name := mounts(s.container("haproxyd"))["/var/lib/haproxyd"]
	w := s.workload()
	for _, v := range w.pod.Spec.Volumes {
		if v.Name == name && v.EmptyDir != nil {
			return nil
		}
	}
	for _, c := range w.claims {
		if c.Name == name {
			if q := c.Spec.Resources.Requests.Storage(); q.Value() != 64<<20 {
				complain(&p, "the claim asks for %s", q)
			}
			return p
		}
	}
	return []string{"nothing is mounted at /var/lib/haproxyd"}
}

func startsParallel(s *set) (p []string) {
	w := s.workload()
	if w.stateful == nil {
		return nil
	}
	if w.stateful.Spec.PodManagementPolicy != "Parallel" {
		complain(&p, "podManagementPolicy %q: a fenced haproxy-0 would keep the others from starting", w.stateful.Spec.PodManagementPolicy)
	}
	if w.stateful.Spec.MinReadySeconds < 10 {
		complain(&p, "minReadySeconds %d: the next HAProxy stops before this one has learnt its tables", w.stateful.Spec.MinReadySeconds)
	}
	if n := len(strings.Split(s.settings().Data["RENDER_PROXIES"], ",")); n != w.replicas {
		complain(&p, "%d replicas and %d proxies in RENDER_PROXIES", w.replicas, n)
	}
	return p
}

func scraped(s *set) (p []string) {
	a := s.workload().pod.Annotations
	if a["prometheus.io/scrape"] != "true" || a["prometheus.io/port"] != "9102" || a["prometheus.io/path"] != "/metrics" {
		complain(&p, "the pods' scrape annotations are %v", a)
	}
	for _, m := range s.podMonitor {
		for _, e := range m.Spec.PodMetricsEndpoints {
			if portNamed(s.container("haproxyd"), intstr.FromString(e.Port)) != 9102 {
				complain(&p, "the PodMonitor asks for port %q", e.Port)
			}
		}
		if !selects(m.Spec.Selector.MatchLabels, s.workload().pod.Labels) {
			complain(&p, "the PodMonitor does not select the pods")
		}
	}
	return p
}

func token(s *set) (p []string) {
	spec := &s.workload().pod.Spec
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		complain(&p, "every container gets the token")
	}
	const folder = "/var/run/secrets/kubernetes.io/serviceaccount"
	for _, c := range s.containers() {
		if has := mounts(c)[folder] != ""; has != (c.Name == "haproxyd") {
			complain(&p, "%s: token %v", c.Name, has)
		}
	}
	return p
}
