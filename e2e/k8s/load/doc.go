// Package load is the client of the Kubernetes suite and its judge.
//
// The client runs as a pod and writes through the clients' Service, as
// applications do: some workers that connect anew every few transactions, and
// a connection pool that tests a connection before it uses it. Every
// transaction inserts one row of its own; when it was begun, when it was
// acknowledged and by which node is written to a file as JSON lines, on one
// monotonic clock. The suite reads that file while it grows.
//
// The arithmetic over such a log is e2e/lab's (outages, runs of nodes, time
// with two writers, failures by stage): both suites judge alike.
package load
