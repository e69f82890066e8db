package configs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// doubts are lines behind conditions that only HAProxy can evaluate, where it could not be asked. They are no reason to
// refuse a file whose writers do not come near them: a guess would read another configuration than HAProxy's.
func (b *builder) doubts(sections []*section) {
	said := map[*Error]bool{}
	say := func(why *Error) {
		if !said[why] {
			said[why] = true
			b.errs = append(b.errs, why)
		}
	}
	ours := b.ourSections()
	for _, s := range b.t.sections {
		for _, d := range s.maybe {
			if ours[s] || s.matters(d.directive, b.t) {
				say(d.why)
			}
		}
	}
	for _, s := range sections {
		leads := s.kind == "global" || s.kind == "peers" || s.kind == "defaults" || b.t.sticky(s.name)
		for _, d := range s.maybe {
			leads = leads || s.matters(d.directive, b.t)
		}
		if leads {
			say(s.doubt)
		}
	}
}

// ourSections are those through which writers pass, with their defaults, and the peers.
func (b *builder) ourSections() map[*section]bool {
	ours := map[*section]bool{}
	for s, before := range b.defaults {
		leads := slices.ContainsFunc(b.t.Sticky, func(sticky StickyBackend) bool {
			return s.name == sticky.Name && s.kind != "frontend" ||
				slices.ContainsFunc(b.t.Frontends, func(f Frontend) bool { return f.section == s && f.leadsTo(sticky.Name) })
		})
		if leads {
			ours[s] = true
			for _, d := range before {
				ours[d] = true
			}
		}
	}
	for _, s := range b.t.sections {
		ours[s] = ours[s] || s.kind == "peers"
	}
	return ours
}

// matters tells whether a line of a section that is not ours would make it ours, or is one of global's that are read.
func (s *section) matters(d directive, t *Topology) bool {
	if s.kind == "global" {
		return slices.Contains([]string{
			"stats", "localpeer", "setenv", "presetenv", "unsetenv", "resetenv", "unix-bind", "external-check", "insecure-fork-wanted", "chroot", "user", "uid",
		}, d.word(0))
	}
	switch d.word(0) {
	case "stick", "stick-table":
		return true
	case "use_backend", "default_backend":
		return t.sticky(d.word(1)) || strings.Contains(d.word(1), "%[")
	}
	return false
}

var errNoAnswer = errors.New("it is older than 2.5 and cannot be asked")

// askHAProxy evaluates a predicate as the HAProxy of this machine does (`haproxy -cc`, 2.5 and later): its exit status is
// 0 for true and 1 for false, and it says nothing then (run on 2.2 to 3.4; 2.2 prints its usage).
func askHAProxy(binary, predicate string) (bool, error) {
	binary, err := findHAProxy(binary)
	if err != nil {
		return false, fmt.Errorf("it needs %q, and there is no haproxy here to be asked", predicate)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-cc", predicate)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return true, nil
	case failed && exit.ExitCode() == 1 && len(out) == 0:
		return false, nil
	case failed && exit.ExitCode() == 1:
		return false, fmt.Errorf("%q: %s: %w", predicate, binary, errNoAnswer)
	case failed:
		return false, fmt.Errorf("%q: %s", predicate, firstAlert(string(out), err))
	}
	return false, fmt.Errorf("it needs %q: %w", predicate, err)
}

// findHAProxy gives the program: sbin is not in everybody's PATH.
func findHAProxy(binary string) (string, error) {
	if binary != "" {
		return binary, nil
	}
	for _, name := range []string{"haproxy", "/usr/local/sbin/haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}
