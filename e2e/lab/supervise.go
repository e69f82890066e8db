package lab

import (
	"context"
	"sync"
	"time"
)

// supervise starts a process again some time after each of its ends, however it ended, until it is told not to.
func (l *Lab) supervise(name string, after time.Duration, process func() *Process, start func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			proc := process()
			select {
			case <-ctx.Done():
				return
			case <-proc.Done():
			}
			if !Sleep(ctx, after) {
				return
			}
			if process().Running() {
				continue // replaced by a newer one, as an HAProxy that was reloaded
			}
			if err := start(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("a supervisor's start failed", "process", name, "error", err)
			}
		}
	})
	end = func() {
		cancel()
		done.Wait()
	}
	l.onReset(end)
	return end
}

// Supervise starts the daemon again some time after each of its ends, however it ended, as the kubelet does, until
// the returned function is called, or Reset or Close. Meanwhile the scenario must not start the daemon by itself.
// The daemon must have been started before.
func (d *Daemon) Supervise(after time.Duration) (end func()) {
	return d.proxy.lab.supervise(d.proxy.Name+"/haproxyd", after, d.Process,
		func(context.Context) error { return d.StartAgain() })
}

// Supervise is Daemon.Supervise for the proxy's HAProxy, which starts with the configuration file as it then is.
func (p *Proxy) Supervise(after time.Duration) (end func()) {
	return p.lab.supervise(p.Name+"/haproxy", after, p.Process, p.StartAgain)
}

// Supervise is Daemon.Supervise for the node. A start puts a lowered floor back to normal first, see Start.
func (n *Node) Supervise(after time.Duration) (end func()) {
	return n.lab.supervise(n.Name+"/mariadbd", after, n.Process, n.Start)
}
