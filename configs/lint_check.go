package configs

import "fmt"

// externalCheck finds what keeps an external check from being started: HAProxy then calls every server down. Run on 2.6 to
// 3.4 as `user haproxy`: "Failed to fork process for external health check (likely caused by missing
// 'insecure-fork-wanted')", and with chroot "Failed to exec process".
func (l *linter) externalCheck() {
	if !l.t.externalCheck {
		return
	}
	var global []directive
	for _, s := range l.t.sections {
		if s.kind == "global" {
			global = append(global, s.dirs...)
		}
	}
	line := func(word string) (directive, bool) {
		return find(global, func(d directive) bool { return d.has(word) })
	}
	user, unprivileged := line("user")
	if !unprivileged {
		user, unprivileged = line("uid")
	}
	if _, may := line("insecure-fork-wanted"); unprivileged && !may {
		l.add(user.pos, SeverityError, RuleExternalCheck, "there is an external check, and HAProxy may start no process",
			"as another user than root it cannot fork without being told to: no check ever runs, and every server is down", "add `insecure-fork-wanted` to global")
	}
	if d, jailed := line("chroot"); jailed {
		l.add(d.pos, SeverityError, RuleExternalCheck, "there is an external check, and HAProxy runs in a chroot",
			"the program of the check is looked for inside: where it is not there, with all that it needs, every server is down", "remove `chroot`")
	}
}

// sameNames finds a frontend and a backend of one name, which HAProxy takes for two until 3.2.
func (l *linter) sameNames() {
	seen := map[string]*section{}
	for _, s := range l.t.sections {
		if s.kind != "frontend" && s.kind != "backend" {
			continue
		}
		if other := seen[s.name]; other != nil && other.kind != s.kind {
			l.add(s.pos, SeverityWarning, RuleRefused, fmt.Sprintf("%s %s has the name of the %s at %s", s.kind, s.name, other.kind, other.pos),
				"HAProxy 3.3 and later does not start with such a file", "give one of them another name")
		}
		seen[s.name] = s
	}
}
