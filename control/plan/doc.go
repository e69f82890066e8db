// Package plan compares what one HAProxy does with what was decided and returns
// the Runtime API commands that put it right. It is pure: no clock, no I/O.
//
// It compares *effective routes*, not tables: an entry names a server by name
// (server_key) and by number (server_id), the name wins, the server may not be
// running, and then the next rule or the load balancing decides. Two tables can
// be equal and wrong, or different and right.
package plan
