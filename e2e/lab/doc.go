// Package lab brings up, in network namespaces of one machine, what the project is for: a real three-node Galera
// cluster, HAProxies in front of it, a haproxyd beside each, and clients that commit through them. Nothing in it is a
// mock. The end-to-end tests, the demo and the benchmark are written on it.
//
// # Why
//
// What the project promises is about time seen by clients: how long nobody could commit, how long two nodes took
// commits at once, whether an acknowledged commit was lost. Only a client can measure that. So every load client
// writes down, on one monotonic clock, when each transaction began and was acknowledged and which node said that it
// took it, and the judge (pure functions over that log) does the arithmetic afterwards. A direct client that is
// connected straight to a surviving node gives Galera's own share of an outage in the same run, on the same machine,
// at the same moment: that is the floor which the proxies are compared with.
//
// # Shape
//
// A Lab is one bridge in a namespace of its own and one namespace per host:
//
//	db0..db2    10.99.0.11-13   a mariadbd with Galera each (Lab.DB)
//	px0..px2    10.99.0.21-23   an HAProxy and a haproxyd each (Lab.PX, Proxy.Daemon)
//	client      10.99.0.50      where the load comes from (Lab.Client)
//
// Several labs may live side by side: the addresses are the same in each, the bridges are not connected. Every name
// of a namespace begins with "lab-" and the lab's id, every file lies in the lab's folder.
//
// # Leaving nothing behind
//
// Close ends every process that the lab started and removes namespaces and files. Where Close is not reached (a
// panic, a test's timeout, SIGKILL), three things stand in: processes are started with a parent-death signal, a
// waiting shell removes namespaces and folder once the lab's process is gone, and New removes what labs of dead
// processes have left (CleanStale).
//
// # A scenario
//
//	l, err := lab.New(ctx, lab.Config{})             // 6 s; reuse it for many scenarios, with l.Reset between them
//	defer l.Close()
//	for _, p := range l.PX {
//		err = p.Start(ctx, lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{})})
//	}
//	load, err := l.StartLoad(ctx, lab.LoadConfig{Direct: []*lab.Node{l.DB[1]}})
//	err = load.WaitFlowing(ctx)
//	load.Mark("kill")
//	l.DB[0].Kill9()
//	err = load.WaitFlowing(ctx)                       // from now on: every proxy commits again
//	report := load.Stop()
//	fmt.Println(report.OutageAfter("px0", "kill"), report.OutageAfter("direct:db1", "kill"))
//	fmt.Println(report.SettledPath(""), report.TwoWriters().Total)
//	lost, err := l.Lost(ctx, report)                  // must be empty
//	err = l.Reset(ctx)
//
// # Moves, sessions and steps
//
// Lab.StartPool is a load of applications with connection pools; it returns a Load like StartLoad's, whose Log also
// says how far a failed transaction was (Failures), how long clients were held (LongestGreeting, LongestWait) and
// whether the last commit on the old node came before the first one on the new node (HandOver), in Galera's own order
// (Commit.Seqno). Lab.OpenSession and Lab.OpenIdle are sessions beside it. With binaries of BuildWith(StepsTag),
// Lab.StopAt, WaitReached and LetGo stop daemons at a step of a move; Supervise starts again what was killed there.
//
// # Lowering the floor
//
// With stock-like periods a client straight to a survivor waits about three seconds when another node is killed, and
// that hides what the proxies add. Lab.FastFloor lowers Galera's own timings while all nodes are synced;
// Node.Start and Reset put them back first, since a node must not join under the low ones.
//
// # A node that comes back
//
// Node.Return brings a node that is down back by a full copy (rsync, mariabackup) of a donor that the scenario names, at
// a bounded rate if it wants, or by what it has missed, and says for how long the donor was one. Lab.Fill gives copies a
// size.
//
// # Commits that hang
//
// Node.BlockCommits, Node.SlowEverybody and Node.Lag stop commits while every process lives and answers: on one
// node, which is desynced by it; on all, by flow control; on one that falls behind and calls itself synced.
package lab
