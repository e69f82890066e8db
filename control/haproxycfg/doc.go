// Package haproxycfg is haproxy.cfg as the daemon uses it, and as it changes: the
// topology that is in force, what it makes possible for the plan, and what a look at
// HAProxy has to ask for. A file that cannot be used never replaces one that could.
package haproxycfg
