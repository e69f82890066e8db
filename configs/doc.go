// Package configs reads, lints, renders and replaces haproxy.cfg.
//
// The daemon has no configuration of its own that repeats what HAProxy's says: the admin socket, the sticky
// backends and their tables, the servers with their ids, and the other proxies (the peers) are all read from the
// real file. So this package must see in a file exactly what HAProxy sees in it, and must say, by file and line,
// where it cannot.
//
// # Reading
//
// A file is cut into words by a scanner that follows HAProxy's own rules (section 2.2 to 2.4 of its configuration
// manual: quotes, backslashes, environment variables inside double quotes, conditional blocks). Each directive
// that matters is then given, alone, to config-parser v5, which types it. One directive at a time because
// config-parser knows no line numbers, drops what it does not know without a word (an unknown word on a
// stick-table line hides the whole table), panics on some input, and keeps state in a package variable; read this
// way every answer has a position, and whatever it lost is seen and read from the words instead.
//
// Several files are one configuration, in order, as HAProxy takes several -f.
//
// # Steering
//
// The layout with a private table and a beacon is recognised by its structure, not by its names: a rule
// `stick match K table P if { srv_is_up(B/s) }` says that P steers while server s of backend B is up.
//
// # Writing
//
// config-parser does not write faithfully, so a whole file is rendered from a template, and a file that exists is
// changed by its lines. A rendered file carries a header line; only a file that has it is ever replaced without
// being forced. Replacing is atomic, and only after `haproxy -c` has accepted the new text.
package configs
