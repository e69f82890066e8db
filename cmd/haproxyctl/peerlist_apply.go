package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// peerListed is what `config peer-list` prints.
type peerListed struct {
	File    string   `json:"file"`
	Changed bool     `json:"changed"`
	Changes []string `json:"changes,omitempty"`
	// Absent are kept in the file without being listed.
	Absent   []string `json:"absent,omitempty"`
	Active   string   `json:"active,omitempty"`
	Why      string   `json:"why,omitempty"`
	Checked  bool     `json:"checked"`
	Reloaded bool     `json:"reloaded"`
	// Pid is HAProxy's process, 0 where none is known.
	Pid int `json:"pid,omitempty"`
}

// peerListRun is one run of `config peer-list`.
type peerListRun struct {
	*app
	o      renderOptions
	listed []peerHost
	lock   *reloadLock
	result peerListed
}

// renderPeerList takes the list of database hosts and changes the file only if that
// says more than the file does.
func (a *app) renderPeerList(ctx context.Context, o renderOptions) error {
	if err := o.checkPeerList(); err != nil {
		return err
	}
	listed, err := parsePeerList(o.stdin, o.peerDomain)
	if err != nil {
		return err
	}
	r := peerListRun{app: a, o: o, listed: listed, result: peerListed{File: o.out}}
	if len(listed) == 0 {
		return r.print("The list is empty: nothing was changed.")
	}
	if o.out == "-" {
		return r.toStdout(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, o.reloadWait)
	defer cancel()
	if r.lock, err = lockFile(ctx, o.out+".lock"); err != nil {
		return err
	}
	defer r.lock.unlock()
	return r.run(ctx)
}

func (r *peerListRun) toStdout(ctx context.Context) error {
	in, _, err := r.input(ctx)
	if err != nil {
		return err
	}
	in.Active = r.o.in.Active
	in.Active, _ = r.active(ctx, in)
	data, err := configs.Render(in)
	if err == nil {
		_, err = r.stdout.Write(data)
	}
	return err
}

func (r *peerListRun) run(ctx context.Context) error {
	_, _, same, err := r.look(ctx)
	if err != nil {
		return err
	}
	if same && !r.lock.pending() {
		return r.print(r.o.out + " is as it was" + r.note() + ".")
	}
	running, err := r.mayReload(ctx)
	if err != nil {
		return err
	}
	// The daemon may have written the file meanwhile.
	in, old, same, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.lock.setPending(true); err != nil {
		return fmt.Errorf("%s.lock: %w", r.o.out, err)
	}
	text := r.o.out + " is as it was" + r.note()
	if !same {
		if text, err = r.write(ctx, in); err != nil {
			return errors.Join(err, r.lock.setPending(false))
		}
	}
	return r.take(ctx, running, old, text)
}

// look tells, beside the input, whether the file says the same already.
func (r *peerListRun) look(ctx context.Context) (in configs.RenderInput, old []byte, same bool, err error) {
	if in, old, err = r.input(ctx); err != nil {
		return in, nil, false, err
	}
	data, err := configs.Render(in)
	if err != nil {
		return in, nil, false, &exitError{exitUsage, err}
	}
	return in, old, old != nil && bytes.Equal(old, data), nil
}

// input is the configuration's input with the file's nodes and the listed ones, and what is
// in the file, nil for none.
func (r *peerListRun) input(ctx context.Context) (in configs.RenderInput, old []byte, err error) {
	known := knownNodes(r.o.before())
	nodes, changes, err := merged(known, r.listed)
	if err != nil {
		return in, nil, err
	}
	if in, err = r.o.inputFor(ctx, nodes, r.o.nodePort); err != nil {
		return in, nil, err
	}
	if len(known) > 0 {
		in.Active = known[0].Name
	}
	if err := in.Validate(); err != nil {
		return in, nil, &exitError{exitUsage, err}
	}
	if in.HAProxyVersion == "" {
		in.HAProxyVersion = haproxyVersion(ctx, r.o.haproxy)
	}
	r.result.Changes, r.result.Absent, r.result.Active = changes, absent(nodes, r.listed), in.Active
	if r.o.out != "-" {
		if old, err = os.ReadFile(r.o.out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return in, nil, err
		}
	}
	return in, old, nil
}

// write replaces the file, with the agreed active first.
func (r *peerListRun) write(ctx context.Context, in configs.RenderInput) (text string, err error) {
	r.noteTwo(len(in.Proxies))
	in.Active = r.o.in.Active // what the file says is the last resort
	in.Active, r.result.Why = r.active(ctx, in)
	data, err := configs.Render(in)
	if err != nil {
		return "", err
	}
	if r.result.Checked, err = r.install(ctx, r.o, data); err != nil {
		return "", err
	}
	r.result.Active, r.result.Changed = in.Active, true
	return fmt.Sprintf("Wrote %s (%s): %s comes first (%s)%s", r.o.out, changesText(r.result.Changes), in.Active, r.result.Why, r.note()), nil
}

// take sees to it that HAProxy runs with the file. What it does not take is undone.
func (r *peerListRun) take(ctx context.Context, running bool, old []byte, text string) error {
	if !running {
		stale, pid := startedWith(ctx, r.o, time.Now())
		r.result.Pid = pid
		if stale {
			if running, _ = r.mayReload(ctx); !running {
				return fmt.Errorf("%s is written, and HAProxy may have started with the file before: run it again to reload HAProxy", r.o.out)
			}
		}
	}
	if running {
		worker, err := r.o.reload(ctx)
		if err != nil {
			return errors.Join(fmt.Errorf("reload: %w", err), undoFile(ctx, r.o.out, old, r.result.Changed), r.lock.setPending(false))
		}
		r.result.Reloaded, r.result.Pid = true, worker.Pid
		text += fmt.Sprintf("; HAProxy's new process is %d", worker.Pid)
	} else {
		text += "; HAProxy was not reloaded"
	}
	if err := r.lock.setPending(false); err != nil {
		return fmt.Errorf("%s.lock: %w", r.o.out, err)
	}
	return r.print(text + ".")
}

// undoFile brings back what was in the file.
func undoFile(ctx context.Context, file string, old []byte, changed bool) error {
	switch {
	case !changed:
		return nil
	case old == nil:
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("%s is new and cannot be removed: %w", file, err)
		}
		return nil
	}
	if err := configs.Install(context.WithoutCancel(ctx), file, old, nil, true); err != nil {
		return fmt.Errorf("the old %s is lost: %w", file, err)
	}
	return fmt.Errorf("%s is as it was before", file)
}

// active asks the local daemon first, then whoever renderActive asks.
func (r *peerListRun) active(ctx context.Context, in configs.RenderInput) (active, why string) {
	if act, err := r.localActive(ctx, r.o); err == nil && act.Agreed && isNode(in, act.Active) {
		return act.Active, "agreed, says the daemon, epoch " + epoch(act.Recovery, act.Epoch)
	}
	return r.renderActive(ctx, r.o, in)
}

// localActive asks this HAProxy's daemon, by its admin socket or else over HTTP: the
// one who asks may be in another container.
func (a *app) localActive(ctx context.Context, o renderOptions) (api.Active, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	act, err := a.local().Active(ctx)
	if err == nil {
		return act, nil
	}
	return askAddress(ctx, o.in.Daemon)
}

func (r *peerListRun) print(text string) error {
	return r.app.print(r.result, func(w io.Writer) { fmt.Fprintln(w, text) })
}

// note names the nodes that stay without being listed.
func (r *peerListRun) note() string {
	return words.After("; not listed, and kept: ", strings.Join(r.result.Absent, ", "))
}
