// Haproxyctl is the admin command beside haproxyd.
//
// It is thin on purpose: every question and order goes to the daemon's admin
// socket, and what it prints is what the daemon said, as a table for people or
// as JSON or YAML for scripts. Only `config`, which is for before the daemon runs,
// and `check`, on which HAProxy depends, work without a daemon.
//
// Exit status: 0 done; 1 refused or failed; 2 usage; 3 not over in time (a proxy
// had not converged, or a planned move was not over). An error is one line on
// stderr that says what to do.
package main
