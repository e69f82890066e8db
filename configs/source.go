package configs

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// directive is one line of a section, cut into words.
type directive struct {
	pos   Position
	words []string
	// unset lists environment variables that the line uses and that are not set.
	unset []string
	// env resolves variables as they stood at this line, for addresses.
	env func(string) (string, bool)
}

func (d directive) word(i int) string {
	if i < len(d.words) {
		return d.words[i]
	}
	return ""
}

// has tells whether the line starts with the words.
func (d directive) has(words ...string) bool {
	for i, w := range words {
		if d.word(i) != w {
			return false
		}
	}
	return true
}

// section is a section of the configuration with its directives in order.
type section struct {
	kind, name string
	// from names the defaults section of `frontend x from y`.
	from string
	pos  Position
	dirs []directive
	// maybe are lines of which it cannot be told whether HAProxy reads them; doubt says the same of the section.
	maybe []doubtful
	doubt *Error
}

// doubtful is a line behind a condition that only HAProxy can evaluate.
type doubtful struct {
	directive
	why *Error
}

// all gives the directives that start with the words.
func (s *section) all(words ...string) []directive {
	var out []directive
	for _, d := range s.dirs {
		if d.has(words...) {
			out = append(out, d)
		}
	}
	return out
}

// input is the text of one file.
type input struct {
	name string
	text string
}

func readInputs(files []string) ([]input, error) {
	if len(files) == 0 {
		return nil, &Error{Problem: "no haproxy.cfg was named", Fix: "give its path, or several, in HAProxy's order"}
	}
	files, err := Expand(files)
	if err != nil {
		return nil, err
	}
	inputs := make([]input, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, &Error{Pos: Position{File: file}, Problem: "cannot be read: " + err.Error(), Fix: "check the path and its permissions", Err: err}
		}
		inputs = append(inputs, input{name: file, text: string(data)})
	}
	return inputs, nil
}

// Expand gives the files that HAProxy reads for the paths that it gets with -f: of a folder those whose names end in .cfg
// and begin with no dot, by name in byte order, without the folders in it (cfgfiles_expand_directories in src/haproxy.c).
func Expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil || !st.IsDir() {
			files = append(files, path) // whoever reads it says what is wrong with it
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, &Error{Pos: Position{File: path}, Problem: "cannot be read: " + err.Error(), Fix: "check the path and its permissions", Err: err}
		}
		found := false
		for _, e := range entries {
			name := e.Name()
			if base, rest, _ := strings.Cut(name, ".cfg"); base == "" || base[0] == '.' || rest != "" || base == name {
				continue
			}
			if st, err := os.Stat(filepath.Join(path, name)); err == nil && st.Mode().IsRegular() {
				files, found = append(files, filepath.Join(path, name)), true
			}
		}
		if !found {
			return nil, &Error{Pos: Position{File: path}, Problem: "the folder has no file whose name ends in .cfg", Fix: "name the files, or another folder"}
		}
	}
	return files, nil
}

// isSection knows the section keywords of HAProxy 2.2 to 3.4. A keyword that it does not know would hand that
// section's lines to the section before.
func isSection(word string) bool {
	switch word {
	case "global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "userlist", "mailers", "cache",
		"program", "http-errors", "ring", "log-forward", "fcgi-app", "log-profile", "crt-store", "traces", "acme",
		"healthcheck", "namespace_list":
		return true
	}
	return false
}

// scanner turns the inputs into sections. It carries what one line does to the lines after it: the environment
// (setenv and its kin) and the local peer's name, which HAProxy puts into the environment as well.
type scanner struct {
	base func(string) (string, bool)
	// ask asks HAProxy for a predicate of an .if.
	ask func(predicate string) (bool, error)
	// env is what the configuration itself set (nil: unset). It is replaced, never changed, because directives keep it.
	env       map[string]*string
	reset     bool
	explicit  string
	localPeer string
	peersSeen bool

	file     string
	number   int
	sections []*section
	// doubted are sections of which it cannot be told whether they are there.
	doubted []*section
	cur     *section
	conds   []condBlock
	errs    []*Error
	// cutShort are the lines with an empty word, refused what HAProxy does not start with although it can be read.
	cutShort []Position
	refused  []*Error
}

// newScanner: explicit is the name given by -L ("" for none), hostname what HAProxy falls back to.
func newScanner(lookup func(string) (string, bool), explicit, hostname string) *scanner {
	s := &scanner{base: lookup, env: map[string]*string{}, explicit: explicit, localPeer: hostname}
	if explicit != "" {
		s.localPeer = explicit
	}
	s.setenv("HAPROXY_LOCALPEER", s.localPeer)
	return s
}

func (s *scanner) setenv(name, value string) { s.change(name, &value) }

func (s *scanner) change(name string, value *string) {
	env := maps.Clone(s.env)
	env[name] = value
	s.env = env
}

func (s *scanner) lookup(name string) (string, bool) {
	switch name {
	case ".FILE":
		return s.file, true
	case ".LINE":
		return strconv.Itoa(s.number), true
	case ".SECTION":
		if s.cur == nil {
			return "", true
		}
		return cmp.Or(s.cur.name, s.cur.kind), true
	}
	if v, ok := s.env[name]; ok {
		if v == nil {
			return "", false
		}
		return *v, true
	}
	if haproxysOwn[name] {
		return "${" + name + "}", true
	}
	if s.reset {
		return "", false
	}
	return s.base(name)
}

// haproxysOwn are the variables that HAProxy sets when it starts, each from some version on: their values, and whether they
// are set, are known to it alone. Words keep their names, and a condition that depends on one cannot be told.
var haproxysOwn = wordsOf(`
	HAPROXY_BRANCH HAPROXY_CFGFILES HAPROXY_CLI HAPROXY_HTTPS_LOG_FMT HAPROXY_HTTP_CLF_LOG_FMT HAPROXY_HTTP_LOG_FMT
	HAPROXY_KEYLOG_BC_LOG_FMT HAPROXY_KEYLOG_FC_LOG_FMT HAPROXY_MASTER_CLI HAPROXY_MWORKER HAPROXY_STARTUP_VERSION
	HAPROXY_TCP_CLF_LOG_FMT HAPROXY_TCP_LOG_FMT`)

func (s *scanner) fail(fix, problem string, args ...any) {
	s.errs = append(s.errs, errorAt(Position{File: s.file, Line: s.number}, fix, problem, args...))
}

func (s *scanner) scan(in input) {
	s.file, s.number, s.cur, s.conds = in.name, 0, nil, nil
	for text := range strings.SplitSeq(in.text, "\n") {
		s.number++
		words, unset, err := split(text, s.lookup)
		if err != nil {
			s.fail("HAProxy refuses such a line as well: mend it", "%v", err)
			continue
		}
		if len(words) == 0 {
			continue
		}
		if strings.HasPrefix(words[0], ".") {
			s.conditional(words)
			continue
		}
		if !s.active() {
			continue
		}
		// HAProxy reads a line up to its first empty word: without a word until 3.1, with a warning in 3.2, and 3.4 refuses.
		if i := slices.Index(words, ""); i >= 0 {
			s.cutShort = append(s.cutShort, Position{File: s.file, Line: s.number})
			if words = words[:i]; i == 0 {
				continue
			}
		}
		if isSection(words[0]) {
			s.open(words)
			continue
		}
		if s.cur == nil {
			s.fail("put it into a section (global, defaults, frontend, ...)", "%q stands before the first section", words[0])
			continue
		}
		d := directive{pos: Position{File: s.file, Line: s.number}, words: words, unset: unset, env: s.snapshot()}
		if why := s.unsure(); why != nil {
			s.cur.maybe = append(s.cur.maybe, doubtful{d, why})
			continue
		}
		s.cur.dirs = append(s.cur.dirs, d)
		if s.cur.kind == "global" {
			s.global(words)
		}
	}
	if in.text != "" && !strings.HasSuffix(in.text, "\n") {
		s.refuses("end the last line with a newline (HAProxy 2.3 and later)", "the file ends in the middle of a line")
	}
	if len(s.conds) > 0 {
		s.number = s.conds[len(s.conds)-1].line
		s.fail("add the .endif", ".if without an .endif")
	}
}

// refuses notes what HAProxy does not start with: what is read is what runs all the same, if anything does.
func (s *scanner) refuses(fix, problem string, args ...any) {
	s.refused = append(s.refused, errorAt(Position{File: s.file, Line: s.number}, fix, problem, args...))
}

// snapshot gives the environment as it stands at this line.
func (s *scanner) snapshot() func(string) (string, bool) {
	frozen := &scanner{base: s.base, env: s.env, reset: s.reset, file: s.file, number: s.number, cur: s.cur}
	return frozen.lookup
}

func (s *scanner) open(words []string) {
	s.cur = &section{kind: words[0], pos: Position{File: s.file, Line: s.number}, doubt: s.unsure()}
	rest := words[1:]
	if len(rest) > 0 && rest[0] != "from" {
		s.cur.name, rest = rest[0], rest[1:]
	}
	if len(rest) > 1 && rest[0] == "from" {
		s.cur.from = rest[1]
	} else if len(rest) > 0 && s.cur.kind == "listen" {
		s.refuses("write `bind "+rest[0]+"` below it", "listen %s has %q behind its name", s.cur.name, rest[0])
	}
	switch s.cur.kind {
	case "frontend", "backend", "listen", "peers":
		if s.cur.name == "" {
			s.fail("give the section a name", "a %s section without a name", s.cur.kind)
		}
	}
	if s.cur.kind == "peers" {
		s.peersSeen = true
	}
	if s.cur.doubt != nil {
		s.doubted = append(s.doubted, s.cur)
		return
	}
	s.sections = append(s.sections, s.cur)
}

// global follows the directives that change what later lines mean.
func (s *scanner) global(words []string) {
	arg := directive{words: words}.word
	switch words[0] {
	case "localpeer":
		// -L wins, and the directive must come before the first peers section (section 3.1 of the manual).
		if s.explicit == "" && !s.peersSeen && arg(1) != "" {
			s.localPeer = arg(1)
			s.setenv("HAPROXY_LOCALPEER", s.localPeer)
		}
	case "setenv":
		s.setenv(arg(1), arg(2))
	case "presetenv":
		if _, set := s.lookup(arg(1)); !set {
			s.setenv(arg(1), arg(2))
		}
	case "unsetenv":
		for _, name := range words[1:] {
			s.change(name, nil)
		}
	case "resetenv":
		kept := map[string]*string{}
		for _, name := range words[1:] {
			if v, set := s.lookup(name); set {
				kept[name] = &v
			}
		}
		s.env, s.reset = kept, true
	}
}
