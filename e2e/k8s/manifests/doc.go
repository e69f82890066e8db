// Package manifests tests configs/kubernetes. It builds every base and the overlays in testdata with kustomize, decodes
// each object strictly (a field that Kubernetes does not know is an error), and holds the result against this project's
// own rules: what the daemon must never have (a readiness probe), what HAProxy needs to start, who may speak to whom. Each
// rule is proved by a mutation that it must notice. The flags in the manifests are looked up in the real binaries' help,
// the haproxy.cfg that they render is checked by HAProxy and by the linter, and where a Kubernetes API server can be had
// every object is applied to it as a server-side dry run.
package manifests
