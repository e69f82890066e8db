package manifests

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kubernetes is the folder of the manifests.
const kubernetes = "../../../configs/kubernetes"

// buildCase is a folder that is built.
type buildCase struct {
	name, dir string
	overlay   bool // other images, a namespace
}

var builds = []buildCase{
	{"sidecar", kubernetes + "/sidecar", false},
	{"daemonset", kubernetes + "/daemonset", false},
	{policed, "testdata/five", true},
	{"daemonset, monitoring", "testdata/nodes", true},
}

// The overlays of the suite patch the bases by place: what no longer fits is seen here, not at the suite's next run.
func TestSuiteOverlays(t *testing.T) {
	for overlay, kind := range map[string]string{"sidecar": "StatefulSet", "scale5": "StatefulSet", "daemonset": "DaemonSet", "predecessor": "StatefulSet", "migration": "StatefulSet", "galera": "StatefulSet"} {
		t.Run(overlay, func(t *testing.T) {
			s := build(t, "../suite/testdata/"+overlay, true)
			if n := map[string]int{"StatefulSet": len(s.stateful), "DaemonSet": len(s.daemons)}; n[kind] != 1 || len(s.stateful)+len(s.daemons) != 1 {
				t.Errorf("%v, want one %s", n, kind)
			}
		})
	}
}

// set is what one build gives, decoded.
type set struct {
	overlay  bool
	manifest map[string][]byte // by "Kind/name", for the API server

	stateful   []*appsv1.StatefulSet
	daemons    []*appsv1.DaemonSet
	services   []*corev1.Service
	configs    []*corev1.ConfigMap
	secrets    []*corev1.Secret
	accounts   []*corev1.ServiceAccount
	budgets    []*policyv1.PodDisruptionBudget
	policies   []*networkingv1.NetworkPolicy
	roles      []*rbacv1.Role
	bindings   []*rbacv1.RoleBinding
	rules      []*prometheusRule
	podMonitor []*podMonitor
}

// build runs kustomize on a folder and decodes what it gives. Whatever is unknown,
// a kind or a field, is an error.
func build(t *testing.T, dir string, overlay bool) *set {
	t.Helper()
	objects, err := kustomize(dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	s := &set{overlay: overlay, manifest: map[string][]byte{}}
	for _, data := range objects {
		if err := s.add(data); err != nil {
			t.Fatalf("%s: %v in\n%s", dir, err, data)
		}
	}
	return s
}

var built = map[string][][]byte{}

// kustomize gives the objects of a folder, which it builds once.
func kustomize(dir string) ([][]byte, error) {
	if objects, ok := built[dir]; ok {
		return objects, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), abs)
	if err != nil {
		return nil, err
	}
	for _, r := range resources.Resources() {
		data, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		built[dir] = append(built[dir], data)
	}
	return built[dir], nil
}

// add decodes one object into its own type.
func (s *set) add(data []byte) error {
	var meta struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(data, &meta); err != nil {
		return err
	}
	var err error
	switch meta.APIVersion + " " + meta.Kind {
	case "apps/v1 StatefulSet":
		s.stateful, err = decode(s.stateful, data)
	case "apps/v1 DaemonSet":
		s.daemons, err = decode(s.daemons, data)
	case "v1 Service":
		s.services, err = decode(s.services, data)
	case "v1 ConfigMap":
		s.configs, err = decode(s.configs, data)
	case "v1 Secret":
		s.secrets, err = decode(s.secrets, data)
	case "v1 ServiceAccount":
		s.accounts, err = decode(s.accounts, data)
	case "policy/v1 PodDisruptionBudget":
		s.budgets, err = decode(s.budgets, data)
	case "networking.k8s.io/v1 NetworkPolicy":
		s.policies, err = decode(s.policies, data)
	case "rbac.authorization.k8s.io/v1 Role":
		s.roles, err = decode(s.roles, data)
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		s.bindings, err = decode(s.bindings, data)
	case "monitoring.coreos.com/v1 PrometheusRule":
		s.rules, err = decode(s.rules, data)
	case "monitoring.coreos.com/v1 PodMonitor":
		s.podMonitor, err = decode(s.podMonitor, data)
	default:
		return fmt.Errorf("nobody here knows a %s of %s", meta.Kind, meta.APIVersion)
	}
	s.manifest[meta.Kind+"/"+meta.Metadata.Name] = data
	return err
}

func decode[T any](list []*T, data []byte) ([]*T, error) {
	v := new(T)
	if err := yaml.UnmarshalStrict(data, v); err != nil {
		return nil, err
	}
	return append(list, v), nil
}

// workload is the pods of the HAProxies, whichever kind makes them.
type workload struct {
	kind     string
	replicas int
	selector *metav1.LabelSelector
	pod      *corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
	stateful *appsv1.StatefulSet
}

func (s *set) workload() workload {
	if len(s.stateful)+len(s.daemons) != 1 {
		panic(fmt.Sprintf("%d StatefulSets and %d DaemonSets", len(s.stateful), len(s.daemons)))
	}
	if len(s.stateful) == 1 {
		x := s.stateful[0]
		return workload{"StatefulSet", int(*x.Spec.Replicas), x.Spec.Selector, &x.Spec.Template, x.Spec.VolumeClaimTemplates, x}
	}
	x := s.daemons[0]
	return workload{kind: "DaemonSet", selector: x.Spec.Selector, pod: &x.Spec.Template}
}

// container finds one by its name, among both kinds.
func (s *set) container(name string) *corev1.Container {
	spec := &s.workload().pod.Spec
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		if i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name }); i >= 0 {
			return &list[i]
		}
	}
	panic("no container " + name)
}

// containers are all of them.
func (s *set) containers() []*corev1.Container {
	spec := &s.workload().pod.Spec
	var out []*corev1.Container
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	return out
}

func (s *set) service(name string) *corev1.Service {
	if i := slices.IndexFunc(s.services, func(x *corev1.Service) bool { return x.Name == name }); i >= 0 {
		return s.services[i]
	}
	return nil
}

// settings is the generated ConfigMap, whatever the hash in its name.
func (s *set) settings() *corev1.ConfigMap {
	for _, c := range s.configs {
		if _, ok := c.Data["RENDER_NODES"]; ok {
			return c
		}
	}
	panic("no settings")
}
