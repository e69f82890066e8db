// Package api holds the JSON types of the admin API and a client for it.
//
// The API is versioned HTTP with JSON bodies on a unix socket (default
// /run/haproxyd/admin.sock): whoever may open the socket may steer the cluster,
// so its file mode is the access control. Every error body is an [Error]; its
// Message is one line that says what to do, and haproxyctl prints it as it is.
//
// The types live apart from the daemon so that haproxyctl, tests and other
// programs can speak the API without linking the daemon.
package api
