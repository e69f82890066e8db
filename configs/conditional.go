package configs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// condBlock is one open .if.
type condBlock struct {
	line int
	// outer tells whether the lines around the block are active, on whether this branch is, done whether a branch
	// has been taken, last whether .else has come.
	outer, on, done, last bool
	// unsure is why it cannot be told whether this branch and those after it are taken; they are on then.
	unsure *Error
}

func (s *scanner) active() bool {
	return len(s.conds) == 0 || s.conds[len(s.conds)-1].on
}

// unsure gives why it cannot be told whether the lines here are active, nil where it can.
func (s *scanner) unsure() *Error {
	for _, c := range s.conds {
		if c.unsure != nil {
			return c.unsure
		}
	}
	return nil
}

// conditional handles the lines that start with a dot (section 2.4 of HAProxy's manual).
func (s *scanner) conditional(words []string) {
	switch words[0] {
	case ".if":
		outer := s.active()
		block := condBlock{line: s.number, outer: outer}
		if outer {
			block.on, block.unsure = s.evaluate(words[1:])
			block.done = block.on && block.unsure == nil
		}
		s.conds = append(s.conds, block)
		return
	case ".elif", ".else", ".endif":
		if len(s.conds) == 0 {
			s.fail("remove it, or add the .if", "%s without an .if", words[0])
			return
		}
	case ".diag", ".notice", ".warning", ".alert":
		return // they print; what they print is HAProxy's affair
	default:
		if s.active() {
			s.refuses("remove it", "%q is no directive", words[0])
		}
		return
	}
	block := &s.conds[len(s.conds)-1]
	switch {
	case words[0] == ".endif":
		if s.conds = s.conds[:len(s.conds)-1]; s.cur != nil && s.cur.doubt != nil && s.unsure() == nil {
			s.cur = nil // what follows belongs to it or to the one before
		}
	case block.last:
		s.fail("keep one .else, the last", "%s after .else", words[0])
	case words[0] == ".elif":
		if block.on = false; block.outer && !block.done {
			var unsure *Error
			if block.on, unsure = s.evaluate(words[1:]); block.unsure == nil {
				block.unsure = unsure
			}
		}
		block.done = block.done || block.on && block.unsure == nil
	default:
		block.on, block.last = block.outer && !block.done, true
		block.done = true
	}
}

// evaluate tells whether a condition holds, or why that cannot be told.
func (s *scanner) evaluate(words []string) (bool, *Error) {
	text := strings.Join(words, " ")
	if strings.Contains(text, "${HAPROXY_") {
		return true, errorAt(Position{File: s.file, Line: s.number}, "write the file for one case", "the condition %q depends on what HAProxy sets when it starts", text)
	}
	c := condition{rest: text, lookup: s.lookup, ask: s.ask}
	ok, err := c.run()
	if err == nil {
		return ok, nil
	}
	problem := errorAt(Position{File: s.file, Line: s.number}, "start this program where `haproxy` is (2.5 or later), write the file for one case, or use defined(), streq() or strneq()",
		"the condition %q cannot be evaluated without HAProxy: %v", text, err)
	if errors.Is(err, errCondSyntax) || errors.Is(err, errCondDepth) {
		s.errs = append(s.errs, problem)
		return false, nil
	}
	return true, problem
}

// condition evaluates the expression of an .if. Predicates that need to know the HAProxy binary (feature,
// version_atleast, ...) are asked of it: a guess would make the daemon read another configuration than HAProxy's.
type condition struct {
	rest   string // not read yet
	depth  int
	idle   int // above 0: what is read now cannot change the value
	lookup func(string) (string, bool)
	ask    func(predicate string) (bool, error)
}

var (
	errCondSyntax = errors.New("it is not a condition")
	errCondDepth  = errors.New("it is nested too deeply")
)

func (c *condition) run() (bool, error) {
	c.spaces()
	if c.rest == "" {
		return false, nil
	}
	v, err := c.or()
	if err == nil && c.rest != "" {
		err = errCondSyntax
	}
	return v && err == nil, err
}

func (c *condition) spaces() { c.rest = strings.TrimLeft(c.rest, " \t") }

// take reads a token, and spaces before it even where the token is not there.
func (c *condition) take(token string) (ok bool) {
	c.spaces()
	c.rest, ok = strings.CutPrefix(c.rest, token)
	return ok
}

func (c *condition) or() (bool, error) {
	v, err := c.and()
	for err == nil && c.take("||") {
		var w bool
		w, err = c.beside(v, c.and)
		v = v || w
	}
	return v, err
}

func (c *condition) and() (bool, error) {
	v, err := c.unary()
	for err == nil && c.take("&&") {
		var w bool
		w, err = c.beside(!v, c.unary)
		v = v && w
	}
	return v, err
}

// beside reads one side of a condition, of which HAProxy evaluates nothing when the other one has decided.
func (c *condition) beside(decided bool, read func() (bool, error)) (bool, error) {
	if decided {
		c.idle++
		defer func() { c.idle-- }()
	}
	return read()
}

func (c *condition) unary() (bool, error) {
	if c.depth++; c.depth > 64 {
		return false, errCondDepth
	}
	defer func() { c.depth-- }()
	if c.take("!") {
		v, err := c.unary()
		return !v, err
	}
	if c.take("(") {
		v, err := c.or()
		if err == nil && !c.take(")") {
			err = errCondSyntax
		}
		return v, err
	}
	end := 0
	for end < len(c.rest) && (isNameByte(c.rest[end], false) || c.rest[end] == '-') {
		end++
	}
	name := c.rest[:end]
	c.rest = c.rest[end:]
	if c.take("(") {
		return c.predicate(name)
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		return false, errCondSyntax
	}
	return n != 0, nil
}

func (c *condition) predicate(name string) (bool, error) {
	inside, rest, closed := strings.Cut(c.rest, ")")
	if !closed {
		return false, errCondSyntax
	}
	args := strings.Split(inside, ",")
	c.rest = rest
	c.spaces()
	switch {
	case name == "defined" && len(args) == 1:
		variable := strings.TrimSpace(args[0])
		if haproxysOwn[variable] && c.idle == 0 {
			return false, fmt.Errorf("%s is set by HAProxy when it starts, from some version on", variable)
		}
		_, set := c.lookup(variable)
		return set, nil
	case name == "streq" && len(args) == 2:
		return args[0] == args[1], nil
	case name == "strneq" && len(args) == 2:
		return args[0] != args[1], nil
	}
	if c.idle > 0 {
		return false, nil
	}
	return c.ask(name + "(" + inside + ")")
}
