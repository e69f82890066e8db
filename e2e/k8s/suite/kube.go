package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Kinds of workload, as kubectl takes them before a slash and a name.
const (
	statefulSet = "statefulset"
	daemonSet   = "daemonset"
)

// Kube speaks to a cluster: by the API for what is asked often or timed, by kubectl for what a person would do.
type Kube struct {
	Client    *kubernetes.Clientset
	Namespace string

	config  *rest.Config
	cluster *cluster.Cluster
}

// NewKube speaks to a namespace of a cluster.
func NewKube(c *cluster.Cluster, namespace string) (*Kube, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", c.Kubeconfig(), err)
	}
	config.QPS, config.Burst = 50, 100 // several scenarios' helpers ask at once
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Kube{Client: client, Namespace: namespace, config: config, cluster: c}, nil
}

// Kubectl runs a command in the namespace and returns what it printed.
func (k *Kube) Kubectl(ctx context.Context, args ...string) (string, error) {
	return k.kubectlWith(ctx, nil, args...)
}

func (k *Kube) kubectlWith(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := k.cluster.KubectlCommand(ctx, append([]string{"-n", k.Namespace}, args...)...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, tail(out, 2000))
	}
	return string(out), nil
}

func tail(out []byte, n int) string {
	return string(bytes.TrimSpace(out[max(0, len(out)-n):]))
}

// Exec runs a command in a container and returns what it wrote to its standard output.
func (k *Kube) Exec(ctx context.Context, pod, container string, command ...string) (string, error) {
	var out bytes.Buffer
	err := k.Stream(ctx, pod, container, &out, command...)
	return out.String(), err
}

// Stream runs a command in a container and hands its output over while it comes.
func (k *Kube) Stream(ctx context.Context, pod, container string, out io.Writer, command ...string) error {
	request := k.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(k.Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(k.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out, Stderr: &stderr})
	if err != nil {
		return fmt.Errorf("exec in %s/%s: %s: %w: %s", pod, container, strings.Join(command, " "), err, tail(stderr.Bytes(), 1000))
	}
	return nil
}

// Pods lists the pods with a label app.kubernetes.io/name.
func (k *Kube) Pods(ctx context.Context, app string) ([]corev1.Pod, error) {
	list, err := k.Client.CoreV1().Pods(k.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + app})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Pod returns one pod.
func (k *Kube) Pod(ctx context.Context, name string) (*corev1.Pod, error) {
	return k.Client.CoreV1().Pods(k.Namespace).Get(ctx, name, metav1.GetOptions{})
}

// Ready tells whether a pod serves and is not about to go.
func Ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Delete deletes a pod as `kubectl delete pod` does and returns its UID, without waiting for its end. grace: nil is the
// pod's own.
func (k *Kube) Delete(ctx context.Context, pod string, grace *int64) (string, error) {
	p, err := k.Pod(ctx, pod)
	if err != nil {
		return "", err
	}
	err = k.Client.CoreV1().Pods(k.Namespace).Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: grace})
	return string(p.UID), err
}

// Evict asks the eviction API, as a drain does, until the pod's budget allows it.
func (k *Kube) Evict(ctx context.Context, pod string) error {
	for {
		err := k.Client.PolicyV1().Evictions(k.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: k.Namespace}})
		if err == nil || apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsTooManyRequests(err) {
			return err
		}
		if !lab.Sleep(ctx, time.Second) {
			return fmt.Errorf("evict %s: %w: the budget never allowed it", pod, err)
		}
	}
}

// Cordon keeps new pods off a node, or lets them there again.
func (k *Kube) Cordon(ctx context.Context, node string, on bool) error {
	n, err := k.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	n.Spec.Unschedulable = on
	_, err = k.Client.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
	return err
}

// NodeReady tells whether the control plane takes a node for ready.
func (k *Kube) NodeReady(ctx context.Context, node string) (bool, error) {
	n, err := k.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue, nil
		}
	}
	return false, nil
}

// Scale sets the replicas of a StatefulSet.
func (k *Kube) Scale(ctx context.Context, name string, replicas int) error {
	_, err := k.Kubectl(ctx, "scale", "statefulset", name, fmt.Sprintf("--replicas=%d", replicas))
	return err
}

// Annotate changes the pods of a template, so that the controller of the workload (statefulset/pxc) rolls them.
func (k *Kube) Annotate(ctx context.Context, workload, value string) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/roll":%q}}}}}`, value)
	_, err := k.Kubectl(ctx, "patch", workload, "-p", patch)
	return err
}

// Rolled tells whether every pod of a workload is of its newest template and ready.
func (k *Kube) Rolled(ctx context.Context, workload string) (bool, string) {
	kind, name, _ := strings.Cut(workload, "/")
	if kind == daemonSet {
		return k.daemonSetRolled(ctx, name)
	}
	s, err := k.Client.AppsV1().StatefulSets(k.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err.Error()
	}
	st := s.Status
	state := fmt.Sprintf("%s: %d of %d ready, %d of the newest template", name, st.ReadyReplicas, *s.Spec.Replicas, st.UpdatedReplicas)
	ok := st.ObservedGeneration >= s.Generation && st.UpdateRevision == st.CurrentRevision &&
		st.ReadyReplicas == *s.Spec.Replicas && st.Replicas == *s.Spec.Replicas
	return ok, state
}

// WaitRolled waits until a workload is Rolled.
func (k *Kube) WaitRolled(ctx context.Context, workload string) error {
	return Until(ctx, workload+" to be rolled", 500*time.Millisecond, func() (bool, string) { return k.Rolled(ctx, workload) })
}

func (k *Kube) daemonSetRolled(ctx context.Context, name string) (bool, string) {
	d, err := k.Client.AppsV1().DaemonSets(k.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err.Error()
	}
	st := d.Status
	state := fmt.Sprintf("%s: %d of %d ready, %d of the newest template", name, st.NumberReady, st.DesiredNumberScheduled, st.UpdatedNumberScheduled)
	ok := st.ObservedGeneration >= d.Generation && st.DesiredNumberScheduled > 0 &&
		st.UpdatedNumberScheduled == st.DesiredNumberScheduled && st.NumberReady == st.DesiredNumberScheduled
	return ok, state
}

// Until polls ok until it holds, and says at the end what the last look saw. The condition is the synchronisation.
func Until(ctx context.Context, what string, every time.Duration, ok func() (bool, string)) error {
	for {
		done, state := ok()
		if done {
			return nil
		}
		if !lab.Sleep(ctx, every) {
			return errors.Join(fmt.Errorf("waited for %s; last: %s", what, state), ctx.Err())
		}
	}
}
