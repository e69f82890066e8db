// Package notify tells programs outside of what happened: a command that is run, and a webhook that is called.
//
// # Who tells what
//
// What is in the record (decisions, moves, evictions, orders) is told by the leader, after the commit. Every member derives these
// events from the record, and so knows them all by the same id; whoever becomes the leader repeats those of the last minute, since
// the one before may have died with them. What only one member sees (its fence, its HAProxy, its lost majority) that member tells.
// What all see of the databases (one is down, no spare is left) the leader tells.
//
// So an event may come twice, with the same id, and never out of the order in which one member has told them.
//
// # Never in the way
//
// A Watcher reads what the loops have published and hands events to queues that are bounded; nothing waits for it.
package notify
