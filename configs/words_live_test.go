package configs

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wordLine is a line of testdata/words.txt.
type wordLine struct {
	text string
	none bool // no node is reached with it
}

func wordLines(t *testing.T) []wordLine {
	t.Helper()
	data, err := os.ReadFile("testdata/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []wordLine
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		text, none := strings.CutPrefix(line, "none: ")
		out = append(out, wordLine{text, none})
	}
	return out
}

// listen is a sticky section of one line of text, in the file's lines.
func (w wordLine) listen(name, bind string, nodes map[string]*fakeNode) []string {
	line, table, server := w.text, "", ""
	if rest, ok := strings.CutPrefix(w.text, "table "); ok {
		line, table = "", rest
	} else if rest, ok := strings.CutPrefix(w.text, "server "); ok {
		line, server = "", strings.ReplaceAll(rest, "ID/", name+"/")
	}
	return []string{
		"listen " + name, "  bind " + bind, "  stick-table type integer size 1k " + table, "  stick on int(1)", "  " + line,
		"  server oak " + nodes["oak"].addr + " id 1",
		"  server elm " + nodes["elm"].addr + " id 2 " + server,
		"  server fir " + nodes["fir"].addr + " id 3 backup",
	}
}

const wordsHead = `global
  stats socket %s mode 600 level admin
  external-check
  insecure-fork-wanted
  server-state-base /tmp
defaults
  mode tcp
  timeout connect 500ms
  timeout client 10s
  timeout server 10s
resolvers none
backend other
  stick-table type ip size 1k store gpc0,gpc1,gpt0
`

// Each word that is known to choose no server was run: with it a connection goes where the table leads, and to no other
// node. The words are those of testdata/words.txt that this HAProxy has.
func TestWords(t *testing.T) {
	lines := wordLines(t)
	for _, w := range lines {
		line := w.text
		switch {
		case strings.HasPrefix(line, "server "):
			line = "server x 10.0.0.1:3306 " + strings.TrimPrefix(line, "server ")
		case strings.HasPrefix(line, "table "):
			line = "stick-table " + strings.TrimPrefix(line, "table ")
		}
		words, _, err := split(line, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		if got := strange(directive{words: words}); got != "" {
			t.Errorf("%q: %q is not known", w.text, got)
		}
	}
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			l := newLive(t, binary)
			for i, name := range []string{"oak", "elm", "fir"} {
				l.nodes[name] = startNode(t, name, fmt.Sprintf("127.0.0.%d:0", 11+i))
			}
			run := l.words(lines)
			if len(run) < 120 {
				t.Errorf("only %d of %d lines are run here", len(run), len(lines))
			}
			l.start()
			for i, w := range run {
				l.word(fmt.Sprintf("w%d", i), w)
			}
		})
	}
}

// What HAProxy refuses is said with a line's number or with a section's name.
var refusedLine = regexp.MustCompile(`\[ALERT\](?:.*\[[^\]]*:(\d+)\])?(?:.*?\b(w\d+)\b)?`)

// words writes a section for each of the lines that this HAProxy takes, and gives them.
func (l *live) words(lines []wordLine) []wordLine {
	l.t.Helper()
	ports := map[wordLine]string{}
	for _, w := range lines {
		ports[w] = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(l.t)))
	}
	for range 20 {
		text, at := strings.Split(strings.TrimSpace(fmt.Sprintf(wordsHead, l.input.StatsSocket)), "\n"), []int{}
		for i, w := range lines {
			name := fmt.Sprintf("w%d", i)
			l.services[name] = ports[w]
			section := w.listen(name, ports[w], l.nodes)
			for range section {
				at = append(at, i)
			}
			text = append(text, section...)
		}
		head := len(text) - len(at)
		l.write(strings.Join(text, "\n") + "\n")
		out, err := exec.Command(l.binary, "-c", "-f", l.cfg).CombinedOutput()
		if err == nil {
			return lines
		}
		refused := map[int]bool{}
		for _, m := range refusedLine.FindAllStringSubmatch(string(out), -1) {
			if n, err := strconv.Atoi(m[1]); err == nil && n > head && n-head-1 < len(at) {
				refused[at[n-head-1]] = true
			}
			if n, err := strconv.Atoi(strings.TrimPrefix(m[2], "w")); err == nil {
				refused[n] = true
			}
		}
		if len(refused) == 0 {
			l.t.Fatalf("%s", out)
		}
		var kept []wordLine
		for i, w := range lines {
			if !refused[i] {
				kept = append(kept, w)
			}
		}
		lines = kept
	}
	l.t.Fatal("HAProxy still refuses some of the words")
	return nil
}

// word connects once, with elm in the table.
func (l *live) word(name string, w wordLine) {
	l.t.Helper()
	l.try("set table " + name + " key 1 data.server_id 2")
	before := map[string]int64{}
	for node, n := range l.nodes {
		before[node] = n.accepted.Load()
	}
	c, err := net.DialTimeout("tcp", l.services[name], time.Second)
	if err != nil {
		l.t.Errorf("%q: %v", w.text, err)
		return
	}
	defer func() { _ = c.Close() }()
	reached := func() (nodes []string) {
		for node, n := range l.nodes {
			if n.accepted.Load() > before[node] {
				nodes = append(nodes, node)
			}
		}
		return nodes
	}
	if w.none {
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = c.Read(make([]byte, 64))
	} else {
		deadline := time.Now().Add(3 * time.Second)
		for len(reached()) == 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	want := []string{"elm"}
	if w.none {
		want = nil
	}
	if got := reached(); !slices.Equal(got, want) {
		l.t.Errorf("%q: went to %v, want %v", w.text, got, want)
	}
}

// What every HAProxy here says of itself that it knows is either known to this package or told on purpose.
func TestVocabulary(t *testing.T) {
	told := wordsOf("attach-srv be-unpublished switch-mode filter-sequence force-be-switch clitimeout contimeout srvtimeout set-proxy-v2-tlv-fmt")
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			empty := filepath.Join(t.TempDir(), "empty.cfg")
			if err := os.WriteFile(empty, []byte("global\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(binary, "-dKcfg", "-q", "-c", "-f", empty).CombinedOutput()
			if err != nil && len(out) == 0 {
				t.Skip(err) // before 2.6
			}
			seen, within := 0, false
			for line := range strings.Lines(string(out)) {
				if !strings.HasPrefix(line, "\t") {
					within = strings.TrimSpace(line) == "listen"
					continue
				}
				f := strings.Fields(strings.NewReplacer("*", "", "<name> <addr> ", "").Replace(line))
				if !within || f[0] == "bind" || strings.HasPrefix(f[0], "http-") && len(f) > 1 {
					continue
				}
				seen++
				last := f[0]
				if len(f) == 1 && (f[0] == "tcp-request" || f[0] == "tcp-response" || f[0] == "filter") {
					continue // its own words follow, or have no list
				}
				switch f[0] {
				case "option":
					last = f[1]
				case "server":
					last = f[1]
					f = []string{"server", "x", "10.0.0.1", last}
				case "tcp-request", "tcp-response":
					last = f[2]
				}
				if words := strange(directive{words: f}); (words != "") != told[last] && last != "set-proxy-v2-tlv-fmt" {
					t.Errorf("%s: %q, and it is to be told: %v", strings.TrimSpace(line), words, told[last])
				}
			}
			if seen < 100 {
				t.Errorf("%d words", seen)
			}
		})
	}
}
