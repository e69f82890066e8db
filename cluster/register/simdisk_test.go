package register

import (
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// simDisk holds a state file as bytes. copies are older ones.
type simDisk struct {
	simFile
	copies []simFile
	fail   bool
	// exact says that the file is an old copy that cannot be told from the
	// original: a volume was restored from a snapshot.
	exact bool
}

type simFile struct {
	data  []byte
	birth uint64
}

// load reads the state file.
func (h *simHost) load() (body []byte, lost string) {
	s := h.s
	h.copy = nil
	if h.disk.data == nil {
		return nil, ""
	}
	body, err := state.Unseal(h.disk.data, h.disk.birth)
	var im *state.Image
	if err == nil {
		im, err = state.DecodeImage(body)
	}
	if err == nil && h.disk.exact && !s.somebodyKnows(h, im) {
		// The one case that is excused: no protocol between the rest can know.
		s.excused++
		err = state.ErrCopy
	}
	if err == nil && h.disk.exact {
		h.copy = im
	}
	h.disk.exact = false
	if err != nil {
		h.disk.data = nil
		if errors.Is(err, state.ErrCopy) {
			s.lostDisks++
		}
		return nil, err.Error()
	}
	return body, ""
}

// somebodyKnows says that a live host that can be reached knows of something
// that the copy has forgotten: of more promises of that disk than are in it, or of
// entries that were committed while the copy was the only voter, or (the leader)
// of entries that the disk has confirmed to it. That a host has applied more than
// the copy holds is no such knowledge elsewhere: a majority without this disk may
// have committed it, and then a voter that was away looks the same.
func (s *sim) somebodyKnows(h *simHost, im *state.Image) bool {
	return im.Log != nil && slices.ContainsFunc(s.hosts, func(o *simHost) bool {
		c := o.core
		return o != h && !o.down && !o.paused && !s.cut[[2]string{o.name, h.name}] && !s.cut[[2]string{h.name, o.name}] && c.knowsItself() &&
			c.own() == scope{im.Cluster, im.Generation, im.Origin} && c.knowsMoreOf(im)
	})
}

// mustExcuse says that a copy has just been taken for what it says it is, after a
// start or because a majority does not confirm a doubt, and that whoever knew better
// when it was loaded is not there any more. The only voter has no such majority.
func (h *simHost) mustExcuse(before, doubted bool) bool {
	c := h.core
	taken := !before && c.confirmed || doubted && c.doubt == nil && c.node != nil && c.reset == "" && !c.soleVoter()
	return h.copy != nil && taken && !h.s.somebodyKnows(h, h.copy)
}

// excuse starts a host without the copy.
func (h *simHost) excuse() {
	h.s.excused++
	h.s.lostDisks++
	h.crash()
	h.disk, h.last = simDisk{}, state.Image{}
	h.start()
}

// knowsMoreOf says that this core knows of something that the image, a copy of a
// disk of its generation, has forgotten.
func (c *Core) knowsMoreOf(im *state.Image) bool {
	last := im.Log.Last().Index
	sole := voters.Majority(im.Log.Conf, func(id uint64) bool { return id == im.Disk })
	confirmed := false
	if c.leading {
		c.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
			confirmed = confirmed || id == im.Disk && pr.Match > last
		})
	}
	return c.Seen[im.Disk] > im.Promises || sole && c.Log.Applied.Index > last || confirmed
}

// remember notes what a disk has promised, and whether the one that was just
// loaded has forgotten some of it.
func (h *simHost) remember(loaded bool) {
	c, p := h.core, h.s.promised
	if loaded && c.Promises < p[c.Disk] {
		h.forgetful = c.Disk
	}
	p[c.Disk], h.mine = max(p[c.Disk], c.durable), c.Disk
}

// revive does what the daemon does when writing works again after an error.
func (h *simHost) revive(life int) {
	if h.paused {
		h.s.at(time.Second, func() { h.revive(life) })
		return
	}
	if h.life != life || h.down || h.core.failed == nil {
		return
	}
	body, lost := h.load()
	if body != nil {
		h.persist(body)
	}
	core, err := h.core.Revive(h.clock(), body, lost)
	if err != nil {
		h.s.fail("%s: %v", h.name, err)
		return
	}
	h.core = core
	h.remember(true)
	h.s.revived++
	h.s.logf("%s can write again", h.name)
	h.take()
}

func (h *simHost) write(w *Write) {
	s, life := h.s, h.life
	if w.Aside != "" {
		s.lostDisks++
		if strings.Contains(w.Aside, "older copy") {
			s.forgot++
			if h.mine == 0 || h.forgetful != h.mine {
				s.fail("%s gives up a disk that has forgotten nothing: %s", h.name, w.Aside)
			}
		}
	}
	h.flight = append(h.flight, w)
	d := s.between(200*time.Microsecond, 3*time.Millisecond)
	if s.rng.Float64() < 0.01 {
		d = s.between(10*time.Millisecond, 300*time.Millisecond)
	}
	if h.slowDisk != 0 {
		d = h.slowDisk
	}
	s.at(d, func() {
		if h.life != life || h.down {
			return
		}
		h.flight = slices.DeleteFunc(h.flight, func(o *Write) bool { return o == w })
		var err error
		if h.disk.fail {
			h.disk.fail = false
			err = errors.New("input/output error")
			s.logf("%s: a write fails", h.name)
			if s.rng.Intn(2) == 0 {
				h.persist(w.Body)
			}
			// It finds out by itself that writing works again, or an operator
			// restarts it.
			restart := s.rng.Intn(2) == 0
			s.at(s.between(time.Second, 3*time.Second), func() {
				switch {
				case h.life != life:
				case restart:
					h.crash()
					h.start()
				default:
					h.revive(life)
				}
			})
		} else {
			h.persist(w.Body)
		}
		h.do(life, func() { h.core.Written(h.clock(), w.Seq, err) })
	})
}

func (h *simHost) persist(body []byte) {
	if h.disk.data != nil && h.s.rng.Intn(4) == 0 {
		h.disk.copies = append(h.disk.copies, h.disk.simFile)
		if len(h.disk.copies) > 6 {
			h.disk.copies = h.disk.copies[1:]
		}
	}
	h.s.nextBirth++
	h.disk.birth = h.s.nextBirth
	h.disk.data = state.Seal(body, h.disk.birth)
}
