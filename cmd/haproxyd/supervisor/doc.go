// Package supervisor keeps a daemon running as a child process: one that dies
// or hangs is started again at once, and the container does not end with it.
//
// In Kubernetes a pod is ready only while every container of it runs, and knows
// no exception, not for sidecar containers and not for those without a readiness
// probe (kubelet, pkg/kubelet/status/generate.go, GenerateContainersReadyCondition).
// A daemon that is its container's first process therefore takes its HAProxy out
// of the service when it dies, for ten seconds and more once the kubelet waits
// between restarts; all daemons dying of the same cause take all HAProxies out,
// which must never happen: HAProxy carries on without them. Seen on a cluster: all
// daemons killed twice within a minute were 9 s without any service.
//
// A daemon that dies before it has ever been healthy ends the supervisor, too: that
// is a bad flag, file or version, and Kubernetes stops a rolling update at that pod.
//
// One that refuses to start because it would not be safe as it is set up (no gossip key, a key that others may write) does
// not: that is no fault of the new version, it may meet every pod at once, when a Secret is changed, and the kubelet would
// take each HAProxy out of the service. The supervisor goes on answering and tries again calmly; HAProxy, whose daemon does
// not answer, works natively.
package supervisor
