package galera

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The bounds of rule "whatever a database says": what an endpoint may cost this
// process, whichever part of it asks.
const (
	hostileMemory   = 1 << 20
	hostileDeadline = 600 * time.Millisecond
	// hostileSlack is what a machine that is busy may be late by.
	hostileSlack = 5 * time.Second
)

// hostileServer makes this test binary the endpoints, one for each attack on each role, if it was
// started as them: their memory must not be counted.
const hostileServer = "GALERA_TEST_HOSTILE"

// It is not in TestMain, which must not end it for a goroutine too many.
var _ = serveHostile()

func serveHostile() bool {
	if os.Getenv(hostileServer) == "" {
		return false
	}
	listen := func(name string, serve func(*fake)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\t%s\n", name, l.Addr())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					panic(err)
				}
				go func() {
					defer c.Close()
					serve(&fake{Conn: c})
				}()
			}
		}()
	}
	for name, role := range hostileRoles {
		for what, attack := range hostileAnswers {
			listen(name+"/"+what, role.serve(attack))
		}
	}
	for what, attack := range hostileLogins {
		listen("login/"+what, attack)
	}
	listen("crowd", serveCrowd(20000))
	fmt.Println()
	_, _ = io.Copy(io.Discard, os.Stdin) // until its parent ends
	os.Exit(0)
	return true
}

func startHostile(t *testing.T) map[string]string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), hostileServer+"=1")
	in, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = child.Wait()
	})
	addresses := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != ""; {
		name, address, _ := strings.Cut(lines.Text(), "\t")
		addresses[name] = address
	}
	return addresses
}

// TestHostile has an endpoint say the worst, to each part of this package that asks. It must be told
// off within its deadline, and cost no more than a megabyte.
func TestHostile(t *testing.T) {
	addresses := startHostile(t)
	for name, role := range hostileRoles {
		for what := range hostileAnswers {
			t.Run(name+"/"+what, func(t *testing.T) { beHostile(t, role, addresses[name+"/"+what]) })
		}
		for what := range hostileLogins {
			t.Run(name+"/login/"+what, func(t *testing.T) { beHostile(t, role, addresses["login/"+what]) })
		}
	}
}

// hostileRole is one who asks.
type hostileRole struct {
	// at tells the question that is answered badly; those before it are answered well.
	at func(text string) bool
	// ask asks an endpoint and returns how to let go of it.
	ask func(t *testing.T, address string) (release func())
}

func (r hostileRole) serve(attack func(*fake)) func(*fake) {
	return func(f *fake) {
		if f.letIn(nil) != nil {
			return
		}
		for {
			text, err := f.hear()
			switch {
			case err != nil || text[0] != comQuery:
				return
			case r.at(text[1:]):
				attack(f)
				return
			}
			f.prepared(text[1:])
		}
	}
}

// serveCrowd is a server that lists so many sessions, each with all that can be said of one.
func serveCrowd(sessions int) func(*fake) {
	return func(f *fake) {
		if f.letIn(nil) != nil {
			return
		}
		for {
			text, err := f.hear()
			if err != nil || text[0] != comQuery {
				return
			}
			switch text = text[1:]; {
			case text == columnsQuery:
				f.table(fakeEnd, 2, fakeRow("PROCESSLIST", "QUERY_ID"), fakeRow("PROCESSLIST", "TIME_MS"), fakeRow("INNODB_SESSION_TEMP_TABLESPACES", "ID"))
			case text == consumersQuery:
				f.table(fakeEnd, 1, fakeRow("4"))
			case text == "SELECT @@global.performance_schema", text == mdlInstrumentQuery:
				f.table(fakeEnd, 1, fakeRow("1"))
			case strings.Contains(text, "PROCESSLIST WHERE ID<>"):
				f.listCrowd(sessions)
			default:
				f.prepared(text)
			}
		}
	}
}

func (f *fake) listCrowd(sessions int) {
	long := strings.Repeat("x", 300)
	rows := func(columns int, row func(id string) string) {
		f.say(string([]byte{byte(columns)}))
		for range columns {
			f.say(fakeColumn)
		}
		// Not in the order of their ids.
		for i := range sessions {
			f.say(row(fmt.Sprint((i*7919)%sessions + 1000)))
		}
		f.say(fakeMore)
	}
	rows(processColumns, func(id string) string {
		return fakeRow(id, "user"+id, "10.0.0.1:"+id, "Sleep", "1.5", id)
	})
	f.table(fakeMore, 1, fakeRow("4"))
	rows(3, func(id string) string { return fakeRow("9"+id, id, "YES") })
	rows(3, func(id string) string { return fakeRow("9"+id, "ACTIVE", "12345678901234") })
	rows(2, func(id string) string { return fakeRow("9"+id, "TABLE\t"+id+"\t"+long) })
	rows(1, func(id string) string { return fakeRow(id) })
	var status strings.Builder
	status.WriteString(trxList + "\n")
	for id := range sessions {
		fmt.Fprintf(&status, "---TRANSACTION %d, ACTIVE 3 sec\nMySQL thread id %d, x\n", id, id+1000)
	}
	status.WriteString(trxEnd + "\n")
	body := fakeRow("InnoDB", "") + "\xfd" + string([]byte{byte(status.Len()), byte(status.Len() >> 8), byte(status.Len() >> 16)}) + status.String()
	f.table(fakeEnd, 3, body)
}

// TestCrowdRoom lists a crowd that has everything that takes memory, several times.
func TestCrowdRoom(t *testing.T) {
	address := startHostile(t)["crowd"]
	i, err := NewInspector(InspectorConfig{Address: address, User: "u", Timeout: soon})
	must(t, err)
	defer i.Close()
	if _, err := i.Lacks(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := heapNow()
	for range 3 {
		list, err := i.Sessions(t.Context())
		must(t, err)
		grown := int64(heapNow().HeapAlloc) - int64(before.HeapAlloc)
		t.Logf("%d sessions in %d KiB", len(list), grown>>10)
		if len(list) < 5000 || grown > hostileMemory {
			t.Errorf("%d sessions in %d KiB", len(list), grown>>10)
		}
		for n, s := range list {
			if !s.Busy || n > 0 && list[n-1].ID >= s.ID || s.Host != fmt.Sprint("10.0.0.1:", s.ID) {
				t.Fatalf("%+v", s)
			}
		}
	}
}

func beHostile(t *testing.T, role hostileRole, address string) {
	goroutines := runtime.NumGoroutine()
	before := heapNow()
	began := time.Now()
	release := role.ask(t, address)
	took := time.Since(began)
	after := heapNow()
	t.Logf("%v, %d KiB held, %d KiB asked for", took, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10, (after.TotalAlloc-before.TotalAlloc)>>10)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > hostileMemory {
		t.Errorf("%d KiB are held", grown>>10)
	}
	if all := after.TotalAlloc - before.TotalAlloc; all > hostileMemory+hostileMemory/2 {
		t.Errorf("%d KiB were asked for", all>>10)
	}
	if took > hostileDeadline+hostileSlack {
		t.Errorf("it took %v", took)
	}
	release()
	for end := time.Now().Add(soon); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

func heapNow() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

var hostileRoles = map[string]hostileRole{
	"check": {
		at: func(string) bool { return true },
		ask: func(t *testing.T, address string) func() {
			g, err := Once(t.Context(), OnceConfig{Address: address, Account: Account{User: "u"}, Within: hostileDeadline})
			if err != nil || g.Kind == KindHealthy || g.Kind == KindDegraded {
				t.Errorf("%+v, %v", g, err)
			}
			return func() {}
		},
	},
	"prober": {
		at: func(string) bool { return true },
		ask: func(t *testing.T, address string) func() {
			p, err := New(Config{User: "u", Nodes: []Target{{"n", address}}, Deadline: hostileDeadline, Failures: 1})
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			await(t, p, soon, "judged", func(s NodeStatus) bool { return !s.At.IsZero() })
			if s := p.Status()[0]; s.Verdict == Healthy {
				t.Errorf("%+v", s)
			}
			return func() {
				cancel()
				must(t, <-done)
			}
		},
	},
	"inspector": {
		at: func(text string) bool { return strings.Contains(text, "PROCESSLIST WHERE ID<>") },
		ask: func(t *testing.T, address string) func() {
			i, err := NewInspector(InspectorConfig{Address: address, User: "u", Timeout: hostileDeadline})
			must(t, err)
			if list, err := i.Sessions(t.Context()); err == nil {
				t.Errorf("%d sessions", len(list))
			}
			return i.Close
		},
	},
	"inspector's first question": {
		at: func(string) bool { return true },
		ask: func(t *testing.T, address string) func() {
			i, err := NewInspector(InspectorConfig{Address: address, User: "u", Timeout: hostileDeadline})
			must(t, err)
			if lacks, err := i.Lacks(t.Context()); err == nil {
				t.Errorf("it lacks %s", lacks)
			}
			return i.Close
		},
	},
	"canary": {
		at: func(text string) bool { return strings.HasPrefix(text, "INSERT") },
		ask: func(t *testing.T, address string) func() {
			d, err := newDialer(address, lookupIP)
			must(t, err)
			cfg := CanaryConfig{Member: "px0", Deadline: hostileDeadline}.withDefaults()
			c := &canary{
				target: Target{"n", address}, cfg: &cfg, login: login{account: Account{User: "u"}}, dialer: d, grid: time.Now(),
				log: Config{}.withDefaults().Logger, publish: func(func(*record)) {},
				// What hangs is waited for, as a commit of a stuck node is; a node that is down is not.
				verdict: verdictAfter(hostileDeadline),
			}
			m, err := newMetrics(nil)
			must(t, err)
			c.metrics = m.of("n")
			c.turn(t.Context())
			return func() { c.drop(true) }
		},
	},
}

// verdictAfter is a node that is healthy, and found down after a while.
func verdictAfter(d time.Duration) func() Verdict {
	end := time.Now().Add(d)
	return func() Verdict {
		if time.Now().After(end) {
			return Down
		}
		return Healthy
	}
}

// A server that has said the next answers already is asked no more often for that.
func TestUnasked(t *testing.T) {
	address := serveFake(t, func(f *fake) {
		if f.letIn(nil) != nil {
			return
		}
		text, err := f.hear()
		if err != nil {
			return
		}
		f.synced(text[1:])
		f.pour(fakeSaid(1, func(f *fake) { f.synced(query) }))
	})
	registry := prometheus.NewRegistry()
	p := startProber(t, Config{User: "u", PasswordFile: passwordFile(t, ""), Interval: 50 * time.Millisecond, Registerer: registry}, address)
	await(t, p, soon, "healthy", healthy)
	count := func() (n uint64) {
		all, err := registry.Gather()
		must(t, err)
		for _, family := range all {
			if family.GetName() == "haproxyd_galera_probe_duration_seconds" {
				n = family.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		return n
	}
	began, before := time.Now(), count()
	time.Sleep(time.Second)
	if n, most := count()-before, 2*uint64(time.Since(began)/(50*time.Millisecond))+4; n > most {
		t.Errorf("%d probes where %d are the most", n, most)
	}
}
