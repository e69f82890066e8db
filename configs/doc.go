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
// # Holding
//
// During a planned move new connections can wait in HAProxy until the new node may take them. Where they wait is the
// queue of the new node's own server, so that nothing has to be moved when they are released. A queue needs a server
// that is full: a frontend on a unix socket, which no client reaches, lets the daemon take the only slot. Its stick
// rule, `stick match int(3) table P if { fe_name F }`, comes first, so that this one connection goes to the node of
// key 3 whoever the active is. The sequence, with B the backend (TestRenderedHold runs it on every version at hand):
//
//	hold:       weight 0 for every server but old and new; set table P key 3 data.server_id NEW; connect to
//	            StickyBackend.HoldSocket and read the greeting; set maxconn server B/new 1;
//	            set table P key 1 data.server_id NEW
//	release:    set maxconn server B/new 65535 (0 would not wake the queue); when the queue is empty, the former
//	            limit and weights
//	bring back: set table P key 1 data.server_id OLD; set server B/new health up;set server B/new state drain;set
//	            server B/new state maint in one line (a server that is down keeps its queue; 2.6 hands it over at the
//	            change to drain, before it closes the placeholder, whose place the first who waits could get else); then
//	            maxconn, state ready and the weights as they were
//
// The weights come first because HAProxy by itself hands the queue of a server that goes down to any that is left in
// load balancing, whatever the stick rules say: without them a third node would get the clients (run on 2.6).
// Bringing back depends on `option redispatch` and on HAProxy's version: see StickyBackend.HoldReverts. A reload keeps
// none of it: the new process has the limits of the file, and what waits in the old one passes one by one when the
// daemon's connection there ends.
//
// A file that only has `stick on` has no way to the new node for the daemon alone. There the bound comes first, then the
// table, then a connection by the clients' own frontend (StickyBackend.Entrance):
//
//	hold:       the weights; set maxconn server B/new 1; clear table T key K;set table T key K data.server_id NEW;
//	            connect to the frontend
//
// One who comes between the last two has the place and is served, and the daemon's connection waits for its turn
// (TestStickOnWaits). It is for moves that are never brought back.
//
// # Keeping
//
// Between the moment at which a check calls the active node down and the daemon's next look, connections would go to
// another node: stickiness skips a server that is down. A line in every sticky backend keeps them while key 4 is there:
//
//	force-persist if { srv_is_up(haproxyd/local) } { int(4),in_table(haproxyd-steer) }
//
// What it does (run on 2.6.12, 3.0.11, 3.2.26 and 3.4.7; where one differs it is said; most of it in TestRenderedKeep):
//
//	the active node is              a new client, key 4 there           no key, no line, or the beacon down
//	down by its check, and serves   gets it                             gets another node
//	the same, all others down too   gets it                             not run
//	in maint                        gets it                             gets another node
//	refusing, up for HAProxy        closed after 3 s                    2.6: another node after 3 s; else as left
//	refusing, and down              closed after 3 s                    gets another node
//	deaf (no answer to a SYN), up   closed after 8 s                    2.6: another node after 6 s; else as left
//	deaf, and down                  closed after 8 s                    gets another node
//	full: it waits in the queue     never handed over, at drain, maint  handed over at drain and maint, on 2.6
//	                                or down, not even when the key is   when it goes down too
//	                                cleared then
//
// A check's verdict closes what is open (on-marked-down) with the key as without; who came while the node was down stays
// when it is put into maint, and ends by `shutdown sessions`. Clearing the key is felt by the next connection. A reload
// keeps the key where it keeps the private table. So the key is there only while a majority's probes find the active node
// serving, is the first thing that goes, and a hold waits until it is seen to be gone.
//
// `shutdown sessions`, and on-marked-down, end a client that waits a second between two tries of a node that refuses
// within a tenth of a second on 2.6, 3.2 and 3.4. On 3.0.11 HAProxy closes its own side and leaves the client's open,
// for 100 s and more, with the key and without.
//
// # Adopting
//
// Adopt adds to a file of somebody else's what a rendered one has. Lines are added right below the one that opens a section,
// where they stand before every rule of their kind and in no .if of the section's own, or at the end of the last file;
// the daemon's own servers there undo what the last defaults section would make of their checks. Marks, which are
// comments, say what is ours, so that Revert needs no copy of the old text and keeps what was edited since.
//
// # Writing
//
// config-parser does not write faithfully, so a whole file is rendered from a template, and a file that exists is
// changed by its lines. A rendered file carries a header line; only a file that has it is ever replaced without
// being forced. Replacing is atomic, and only after `haproxy -c` has accepted the new text.
package configs
