// Package e2e is the scenario suite: real HAProxy, real Galera, the daemons as
// they ship, and clients that write down every commit.
//
// Every scenario starts with the active being another node than the first
// server of the running configuration: a system that does nothing, or falls
// back to the first server, fails. Every scenario states the time in which two
// nodes may take commits; lost acknowledged commits are always 0.
//
// `go test ./e2e` runs the core scenarios, E2E_FULL=1 all of them. The lab
// needs root and Debian's packages (e2e/install-deps.sh); without them the
// suite is skipped with the reason, unless CI is set.
package e2e
