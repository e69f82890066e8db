// Package conn is a connection to a MySQL or Galera server that costs its caller a deadline and
// little memory, whatever answers.
//
// A [Dialer] makes the [Session] that an [Opening] describes, over TLS or not ([SSL]), and
// [Session.Ask] asks it: several statements in one round trip. What fails is told by the
// errors of this package, and by the driver's *mysql.MySQLError where the server says it; what
// that means for the node is the caller's to judge.
//
// A budget counts only time in which this process was running: a daemon that was itself
// stopped or starved must not take that for the node's silence. What cannot be told is
// [ErrOwnPause].
//
// # What an endpoint may cost
//
// Whatever answers at a node's address may be anybody, and may say anything. One node
// costs a megabyte and a deadline at most, with each of those who ask (the probe, the
// canary, an inspector, a check):
//
//   - wire has a budget of time and of bytes for a whole exchange, TLS included. A trickle
//     is silence.
//   - guard stands between the driver and the server during the login. The driver
//     indexes packets unseen and makes room for what a header names, so it gets one
//     packet at a time, each checked. After the login it is let go.
//   - packets and [Session.Ask] read answers in one buffer of 4 KiB. Numbers of columns and
//     lengths that a server names are compared with what was asked for, and never
//     allocated by.
//
// TLS lies under the guard ([SSL], guard): what is checked is what the driver gets.
package conn
