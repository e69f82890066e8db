package control_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is who may import whom: a package of this module, and all packages of this module that its product code
// imports. Imports run one way, from the floors above to those below; what is not on a line is not to be known there.
const mayImport = `
# What knows nothing of the others.
runtimeapi:
configs:
cluster/nudge:
cluster/safefile:
cluster/internal/golden:
cluster/gossip/memnet:
cluster/register/voters:
control/clock:
control/evict/gcomm:
control/evict/sim:
control/keep:
control/lograte:
control/plan:
control/serving:
control/serving/certtest:
control/step:
control/walltest:
control/writers:
control/kube/kubetest:

# The record and the membership.
cluster/register/state: cluster/register/voters
cluster/register: cluster/nudge cluster/register/state cluster/register/voters
cluster/gossip: cluster/nudge cluster/safefile
cluster: cluster/gossip cluster/nudge cluster/register

# The pure rules. The mandate is what the agreement wants of one proxy.
control/model: control/keep
control/decide: control/model
control/mandate: cluster control/decide control/galera control/model
control/evict: control/decide control/model
control/evict/execute: control/evict control/galera/conn control/galera/grants control/model

# What is looked at.
control/galera/conn: cluster/safefile
control/galera/sessions: control/galera/conn control/galera/grants
control/galera/group: control/galera/conn
control/galera/grants:
control/galera: cluster/nudge control/clock control/galera/conn control/galera/grants control/galera/group
control/kube: cluster/nudge
control/api: control/keep control/model
control/journal: control/api
control/drain: control/clock control/galera control/galera/sessions control/mandate control/model control/step runtimeapi
control/published: cluster configs control/api control/decide control/evict control/haproxycfg control/mandate control/model control/plan
control/haproxycfg: configs control/galera control/journal control/model control/plan runtimeapi
control/clustertest: cluster configs control/galera control/galera/conn control/haproxycfg control/model

# The two loops know nothing of each other; orders go to the one that votes.
control/vote: cluster cluster/nudge configs control/api control/clock control/decide control/drain control/evict control/evict/execute control/galera control/galera/conn control/haproxycfg control/journal control/kube control/lograte control/mandate control/model control/published control/step control/writers
control/steer: cluster configs control/clock control/drain control/haproxycfg control/journal control/keep control/mandate control/model control/plan control/published control/step runtimeapi
control/notify: cluster/nudge control/api control/model control/published
control/words: control/api
control/page: control/api control/serving control/words
control/scrape: control/serving
control/admin: cluster control/api control/decide control/evict control/haproxycfg control/journal control/mandate control/model control/published control/serving control/vote

# The daemon and the commands.
control: cluster/nudge configs control/admin control/api control/decide control/drain control/evict control/galera control/galera/conn control/haproxycfg control/journal control/mandate control/model control/notify control/page control/published control/scrape control/serving control/steer control/vote
cmd/haproxyd/supervisor: control/serving
cmd/haproxyd: cluster cluster/gossip cluster/safefile cmd/haproxyd/supervisor configs control control/drain control/evict control/galera control/galera/conn control/galera/sessions control/haproxycfg control/kube control/lograte control/model control/notify control/steer runtimeapi
cmd/haproxyctl: cluster/gossip configs control/api control/galera control/galera/conn control/galera/grants control/model control/words runtimeapi

# The proofs.
e2e:
e2e/lab:
e2e/dbtest:
e2e/stack: configs control/api control/galera/grants e2e/lab
e2e/demo: control/api e2e/lab e2e/stack
e2e/flood: control/api e2e/lab e2e/stack
e2e/bench: control/api control/evict e2e/lab e2e/stack runtimeapi
e2e/donor: control/api control/model e2e/lab e2e/stack
e2e/rejoin: e2e/donor e2e/lab
e2e/evict: control/api control/evict e2e/lab e2e/stack
`

// Every package imports what the table says, no more and no less: a new way between two packages is a decision.
func TestImports(t *testing.T) {
	const module = "github.com/haproxy-peers/haproxy-peers/"
	want := map[string][]string{}
	for line := range strings.Lines(mayImport) {
		name, list, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && !strings.HasPrefix(line, "#") {
			want[name] = strings.Fields(list)
		}
	}
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		var got []string
		words := strings.Fields(line)
		for _, w := range words[1:] {
			if in, ours := strings.CutPrefix(w, module); ours {
				got = append(got, in)
			}
		}
		name := strings.TrimPrefix(words[0], module)
		seen[name] = true
		if allowed, known := want[name]; !known {
			t.Errorf("%s is not in the table", name)
		} else if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(allowed))) {
			t.Errorf("%s imports\n\t%s\nand the table says\n\t%s", name, strings.Join(got, " "), strings.Join(allowed, " "))
		}
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("the table has %s, which is gone", name)
		}
		// A package of a package may stand in the row of that one.
		_, short, _ := strings.Cut(name, "/")
		if text := string(readme); !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`"+short+"`") && !strings.Contains(text, "`"+name+"/`") {
			t.Errorf("README's table of packages lacks %s", name)
		}
	}
}
