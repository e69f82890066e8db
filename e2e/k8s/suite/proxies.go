package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

const (
	haproxyApp = "haproxy"
	pxcApp     = "pxc"
	// writers is the sticky backend of the load and the name of its native table; private is the daemon's own table.
	writers = "galera-nodes"
	private = "haproxyd-steer"
)

// runtimeScript speaks to HAProxy's Runtime API with what every Debian image has, the essential perl: the daemon's word
// is not taken for what stands in the tables.
const runtimeScript = `my $s = IO::Socket::UNIX->new("/run/haproxy/admin.sock") or die "$!"; print $s "$ARGV[0]\n"; print while <$s>`

// Runtime sends a line to the HAProxy of a pod.
func (k *Kube) Runtime(ctx context.Context, pod, line string) (string, error) {
	return k.Exec(ctx, pod, "haproxy", "perl", "-MIO::Socket::UNIX", "-e", runtimeScript, line)
}

// Status asks the daemon of a pod for everything it knows.
func (k *Kube) Status(ctx context.Context, pod string) (api.Status, error) {
	var status api.Status
	out, err := k.Ctl(ctx, pod, "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &status)
	}
	return status, err
}

// Ctl runs haproxyctl beside a daemon.
func (k *Kube) Ctl(ctx context.Context, pod string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return k.Exec(ctx, pod, "haproxyd", append([]string{"haproxyctl"}, args...)...)
}

// tableNodes returns, by key, where the entries of a table lead.
func (k *Kube) tableNodes(ctx context.Context, pod, table string, nodes []string) (map[string]string, error) {
	out, err := k.Runtime(ctx, pod, "show table "+table)
	if err != nil {
		return nil, err
	}
	return parseTable(out, nodes), nil
}

// parseTable reads `show table`: 0x55..: key=1 use=0 exp=0 shard=0 server_id=2 server_key=pxc-1. An entry leads to the
// server of its key; where there is none, to the one with the id, which is the ordinal + 1.
func parseTable(text string, nodes []string) map[string]string {
	table := map[string]string{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "0x") {
			continue
		}
		entry := map[string]string{}
		for _, word := range strings.Fields(line) {
			if key, value, ok := strings.Cut(word, "="); ok {
				entry[key] = value
			}
		}
		to := entry["server_key"]
		if to == "" || to == "-" {
			to = "id " + entry["server_id"]
			for _, node := range nodes {
				if id := serverID(node); id == entry["server_id"] {
					to = node
				}
			}
		}
		table[entry["key"]] = to
	}
	return table
}

// serverID is what haproxyctl renders for a pod's name: its ordinal + 1.
func serverID(node string) string {
	var ordinal int
	if _, err := fmt.Sscan(node[strings.LastIndexByte(node, '-')+1:], &ordinal); err != nil {
		return ""
	}
	return fmt.Sprint(ordinal + 1)
}

// look is what one proxy says and does.
type look struct {
	pod    string
	status api.Status
	tables map[string]map[string]string // table, key, node
	err    error
}

// wrong says what is not as the record says, "" if everything is.
func (l look) wrong(record api.Active) string {
	switch {
	case l.err != nil:
		return fmt.Sprintf("%s: %v", l.pod, l.err)
	case !l.status.Active.Agreed:
		return fmt.Sprintf("%s is not agreed: %s", l.pod, l.status.Active.Reason)
	case l.status.Active.Active != record.Active || l.status.Active.Epoch != record.Epoch:
		return fmt.Sprintf("%s has another record: %s at epoch %d, not %s at %d", l.pod, l.status.Active.Active, l.status.Active.Epoch, record.Active, record.Epoch)
	}
	proxy := l.self()
	if proxy == nil {
		return l.pod + " says nothing of its own proxy"
	}
	if proxy.Effective != record.Active || !proxy.Converged || proxy.Fenced != "" {
		return fmt.Sprintf("%s routes to %q, converged %v, fenced %q; %s", l.pod, proxy.Effective, proxy.Converged, proxy.Fenced, proxy.Problem)
	}
	for node, sessions := range proxy.Sessions {
		if node != record.Active && sessions > 0 {
			return fmt.Sprintf("%s has %d sessions on %s", l.pod, sessions, node)
		}
	}
	if to := l.tables[private]["1"]; to != record.Active {
		return fmt.Sprintf("%s: the private table leads to %q", l.pod, to)
	}
	for key, to := range l.tables[writers] {
		if to != record.Active {
			return fmt.Sprintf("%s: the native table leads to %s with key %s", l.pod, to, key)
		}
	}
	return ""
}

func (l look) self() *api.Proxy {
	for _, m := range l.status.Members {
		if m.Self {
			return m.Proxy
		}
	}
	return nil
}

// Proxies are the names of the HAProxies' pods, in order; there is at least one.
func (k *Kube) Proxies(ctx context.Context) ([]string, error) {
	pods, err := k.Pods(ctx, haproxyApp)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, errors.New("there is no HAProxy")
	}
	names := make([]string, len(pods))
	for i, p := range pods {
		names[i] = p.Name
	}
	slices.Sort(names)
	return names, nil
}

// looks asks every proxy, all at once.
func (k *Kube) looks(ctx context.Context) ([]look, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	pods, err := k.Pods(ctx, haproxyApp)
	if err != nil {
		return nil, err
	}
	all := make([]look, len(pods))
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() { all[i] = k.look(ctx, p.Name) })
	}
	wg.Wait()
	return all, nil
}

func (k *Kube) look(ctx context.Context, pod string) look {
	l := look{pod: pod, tables: map[string]map[string]string{}}
	if l.status, l.err = k.Status(ctx, pod); l.err != nil {
		return l
	}
	var names []string
	for _, n := range l.status.Nodes {
		names = append(names, n.Name)
	}
	for _, table := range []string{writers, private} {
		if l.tables[table], l.err = k.tableNodes(ctx, pod, table, names); l.err != nil {
			return l
		}
	}
	return l
}

// AsAgreed is the predecessor's own test: every effective route is equal to the record on every proxy, and connections
// are on one node only. It returns the record, and what is not so.
func (k *Kube) AsAgreed(ctx context.Context) (api.Active, string) {
	all, err := k.looks(ctx)
	if err != nil {
		return api.Active{}, err.Error()
	}
	if len(all) == 0 {
		return api.Active{}, "there is no proxy"
	}
	newest := slices.MaxFunc(all, func(a, b look) int { return int(int64(a.status.Active.Epoch) - int64(b.status.Active.Epoch)) })
	record := newest.status.Active
	if record.Active == "" {
		return record, "nothing is agreed: " + newest.pod + ": " + record.Reason + fmt.Sprint(newest.err)
	}
	for _, l := range all {
		if wrong := l.wrong(record); wrong != "" {
			return record, wrong
		}
	}
	return record, ""
}

// WaitAgreed waits until AsAgreed has nothing to say, with want pods and every one of them ready (0: however many there are).
func (k *Kube) WaitAgreed(ctx context.Context, want int) (api.Active, error) {
	var record api.Active
	err := Until(ctx, "every proxy to be as agreed", 500*time.Millisecond, func() (bool, string) {
		if want > 0 {
			if ok, state := k.readyPods(ctx, haproxyApp, want); !ok {
				return false, state
			}
		}
		var wrong string
		record, wrong = k.AsAgreed(ctx)
		return wrong == "", wrong
	})
	return record, err
}

// readyPods tells whether there are just so many pods, all ready.
func (k *Kube) readyPods(ctx context.Context, app string, want int) (bool, string) {
	pods, err := k.Pods(ctx, app)
	if err != nil {
		return false, err.Error()
	}
	ready := 0
	var not []string
	for _, p := range pods {
		if Ready(&p) {
			ready++
		} else {
			not = append(not, p.Name)
		}
	}
	return ready == want && len(pods) == want, fmt.Sprintf("%d pods of %s are ready, not %v", ready, app, not)
}

// WaitReady waits for pods.
func (k *Kube) WaitReady(ctx context.Context, app string, want int) error {
	return Until(ctx, fmt.Sprintf("%d ready pods of %s", want, app), 300*time.Millisecond, func() (bool, string) {
		return k.readyPods(ctx, app, want)
	})
}
