// Package evict decides when a dead database process is to be put on the evict list of Galera's group layer, and what is to be
// done step by step. Both are pure functions of values: no clock, no network, no goroutine.
//
// # Why
//
// After a node's death the others take no commit until Galera has made a new view without it: 6.4 s at the defaults
// (measured), for every client. Told by one survivor that the dead process is evicted they make it in milliseconds.
//
// # Why so many conditions
//
// Evicting a process that lives and talks to the others stops the cluster for 11 s, and where those who evict are not more
// than half of the weight they become a second primary component. So an eviction needs, at one moment and from a majority of all
// voters: that the process's end shows itself (model.EndGone, model.EndSilent), that nobody who is heard reaches it, and that
// the group itself waits: causal reads hang on every survivor, none of which is late with its own work. The last is what no
// fault between daemons and databases can fake. Whoever cannot tell evicts nobody.
//
// What is wrong with the evidence costs what there was before: Galera's own timers make the view.
package evict
