package register

import (
	"cmp"
	"time"
)

// writeResult is the end of a write or, with seq 0, of a probe.
type writeResult struct {
	seq uint64
	err error
	// body and lost are what a probe has loaded.
	body []byte
	lost string
}

// endedLocked takes the end of a write or of a probe.
func (n *Node) endedLocked(w writeResult) {
	if w.seq != 0 {
		n.seq, n.probed = 0, n.now()
		n.core.Written(n.now(), w.seq, w.err)
		return
	}
	n.probing, n.probed = false, n.now()
	core, err := n.core, w.err
	if err == nil {
		core, err = n.core.Revive(n.now(), w.body, w.lost)
	}
	if err != nil {
		n.log.Warn("the state file still cannot be written", "error", err)
		return
	}
	n.core = core
	n.log.Info("the state file can be written again: back as after a restart", "disk", core.Disk, "lost", w.lost)
}

// probe asks the writer whether writing works again, if the last write failed.
func (n *Node) probe(writes chan<- *Write) {
	if n.core.Revivable() && n.seq == 0 && !n.probing && n.now()-n.probed >= cmp.Or(n.core.cfg.hooks.probe, probeEvery) {
		n.probing = true
		writes <- nil
	}
}

// writeAll writes state files, one after the other, away from the loop: a slow
// disk must not keep messages from being read. nil asks for a probe.
func (n *Node) writeAll(writes <-chan *Write) {
	for w := range writes {
		if w == nil {
			body, lost, err := n.disk.Probe(n.cfg.Name)
			n.written <- writeResult{err: err, body: body, lost: lost}
			continue
		}
		if w.Aside != "" {
			n.log.Error("this disk is given up and a new one joins in its place", "reason", w.Aside)
		}
		began := time.Now()
		err := n.disk.Write(w.Body, w.Aside != "")
		took := time.Since(began)
		if n.cfg.OnFsync != nil {
			n.cfg.OnFsync(took, err)
		}
		n.written <- writeResult{seq: w.Seq, err: err}
	}
}
