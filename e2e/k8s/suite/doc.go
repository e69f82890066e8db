// Package suite breaks a Kubernetes cluster under client load: pods are
// deleted, nodes drained, cut off and frozen, processes killed, everything is
// rolled and scaled, and the commit log is judged as in e2e.
//
// `make e2e-k8s` runs it. It makes a cluster (package cluster), deploys a
// Galera StatefulSet, the sidecar base with a test overlay and the load, and
// takes the cluster down at the end; KUBECONFIG takes one that is there.
// Without E2E_K8S=1 nothing runs. Every scenario begins with an active that is
// not the first server of haproxy.cfg, prints one row of figures, and ends
// only when every proxy routes to the record again: by the daemons' word, by
// the stick tables themselves, and by where the sessions are.
//
// The run writes a table (figures.md) and a picture of its course
// (timeline.svg) into the folder E2E_K8S_OUT; runs of a few scenarios each into
// the same folder make one report. What fails leaves pods, events, logs and
// history in a folder of its own there.
package suite
