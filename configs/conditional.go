package configs

import (
	"errors"
	"strconv"
	"strings"
)

// condBlock is one open .if.
type condBlock struct {
	line int
	// outer tells whether the lines around the block are active, on whether this branch is, done whether a branch
	// has been taken, last whether .else has come.
	outer, on, done, last bool
}

func (s *scanner) active() bool {
	return len(s.conds) == 0 || s.conds[len(s.conds)-1].on
}

// conditional handles the lines that start with a dot (section 2.4 of HAProxy's manual).
func (s *scanner) conditional(words []string) {
	switch words[0] {
	case ".if":
		outer := s.active()
		block := condBlock{line: s.number, outer: outer}
		if outer {
			block.on = s.evaluate(words[1:])
			block.done = block.on
		}
		s.conds = append(s.conds, block)
		return
	case ".elif", ".else", ".endif":
		if len(s.conds) == 0 {
			s.fail("remove it, or add the .if", "%s without an .if", words[0])
			return
		}
	default:
		// .diag, .notice, .warning and .alert print; what they print is HAProxy's affair.
		return
	}
	block := &s.conds[len(s.conds)-1]
	switch {
	case words[0] == ".endif":
		s.conds = s.conds[:len(s.conds)-1]
	case block.last:
		s.fail("keep one .else, the last", "%s after .else", words[0])
	case words[0] == ".elif":
		block.on = block.outer && !block.done && s.evaluate(words[1:])
		block.done = block.done || block.on
	default:
		block.on, block.last = block.outer && !block.done, true
		block.done = true
	}
}

func (s *scanner) evaluate(words []string) bool {
	c := condition{in: strings.Join(words, " "), lookup: s.lookup}
	ok, err := c.run()
	if err != nil {
		s.fail("write the file for one case, or use defined(), streq() or strneq()", "the condition %q cannot be evaluated without HAProxy: %v", c.in, err)
	}
	return ok
}

// condition evaluates the expression of an .if. Predicates that need to know the HAProxy binary (feature,
// version_atleast, ...) are refused: a guess would make the daemon read another configuration than HAProxy's.
type condition struct {
	in     string
	at     int
	depth  int
	lookup func(string) (string, bool)
}

var (
	errCondSyntax = errors.New("it is not a condition")
	errCondDepth  = errors.New("it is nested too deeply")
)

func (c *condition) run() (bool, error) {
	c.spaces()
	if c.at == len(c.in) {
		return false, nil
	}
	v, err := c.or()
	if err == nil && c.at != len(c.in) {
		err = errCondSyntax
	}
	return v && err == nil, err
}

func (c *condition) spaces() {
	for c.at < len(c.in) && (c.in[c.at] == ' ' || c.in[c.at] == '\t') {
		c.at++
	}
}

func (c *condition) take(token string) bool {
	c.spaces()
	if !strings.HasPrefix(c.in[c.at:], token) {
		return false
	}
	c.at += len(token)
	return true
}

func (c *condition) or() (bool, error) {
	v, err := c.and()
	for err == nil && c.take("||") {
		var w bool
		w, err = c.and()
		v = v || w
	}
	return v, err
}

func (c *condition) and() (bool, error) {
	v, err := c.unary()
	for err == nil && c.take("&&") {
		var w bool
		w, err = c.unary()
		v = v && w
	}
	return v, err
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
	c.spaces()
	start := c.at
	for c.at < len(c.in) && (isNameByte(c.in[c.at], false) || c.in[c.at] == '-') {
		c.at++
	}
	name := c.in[start:c.at]
	c.spaces()
	if c.at < len(c.in) && c.in[c.at] == '(' {
		return c.predicate(name)
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		return false, errCondSyntax
	}
	c.spaces()
	return n != 0, nil
}

func (c *condition) predicate(name string) (bool, error) {
	closing := strings.IndexByte(c.in[c.at:], ')')
	if closing < 0 {
		return false, errCondSyntax
	}
	args := strings.Split(c.in[c.at+1:c.at+closing], ",")
	c.at += closing + 1
	c.spaces()
	switch {
	case name == "defined" && len(args) == 1:
		_, set := c.lookup(strings.TrimSpace(args[0]))
		return set, nil
	case name == "streq" && len(args) == 2:
		return args[0] == args[1], nil
	case name == "strneq" && len(args) == 2:
		return args[0] != args[1], nil
	}
	return false, errors.New("it needs " + strconv.Quote(name+"()"))
}
