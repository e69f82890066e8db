package dbtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Soon is how long what must come is waited for.
const Soon = 10 * time.Second

// The bounds of rule "whatever a database says": what an endpoint may cost this
// process, whichever part of it asks.
const (
	HostileMemory   = 1 << 20
	HostileDeadline = 600 * time.Millisecond
	// hostileSlack is what a machine that is busy may be late by.
	hostileSlack = 5 * time.Second
)

// hostileServer is set where this test binary is the endpoints: their memory must not be counted.
const hostileServer = "GALERA_TEST_HOSTILE"

// ServeHostile makes this test binary the endpoints, and does not return, if it was started as
// them: one for each attack on each role, and more. It is called for a variable of the
// test's package, not in TestMain, which must not end it for a goroutine too many.
func ServeHostile(roles map[string]Role, more map[string]func(*Fake)) bool {
	if os.Getenv(hostileServer) == "" {
		return false
	}
	listen := func(name string, serve func(*Fake)) {
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
					serve(&Fake{Conn: c})
				}()
			}
		}()
	}
	for name, role := range roles {
		for what, attack := range Answers {
			listen(name+"/"+what, role.serve(attack))
		}
	}
	for what, attack := range Logins {
		listen("login/"+what, attack)
	}
	for what, serve := range more {
		listen(what, serve)
	}
	fmt.Println()
	_, _ = io.Copy(io.Discard, os.Stdin) // until its parent ends
	os.Exit(0)
	return true
}

// StartHostile starts them, and returns their addresses.
func StartHostile(t *testing.T) map[string]string {
	t.Helper()
	self, err := os.Executable()
	Must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), hostileServer+"=1")
	in, err := child.StdinPipe()
	Must(t, err)
	out, err := child.StdoutPipe()
	Must(t, err)
	Must(t, child.Start())
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

// Hostile has an endpoint say the worst, to each part of a package that asks. It must be told
// off within its deadline, and cost no more than a megabyte.
func Hostile(t *testing.T, roles map[string]Role) {
	addresses := StartHostile(t)
	for name, role := range roles {
		for what := range Answers {
			t.Run(name+"/"+what, func(t *testing.T) { beHostile(t, role, addresses[name+"/"+what]) })
		}
		for what := range Logins {
			t.Run(name+"/login/"+what, func(t *testing.T) { beHostile(t, role, addresses["login/"+what]) })
		}
	}
}

// Role is one who asks.
type Role struct {
	// At tells the question that is answered badly; those before it are answered well.
	At func(text string) bool
	// Ask asks an endpoint and returns how to let go of it.
	Ask func(t *testing.T, address string) (release func())
}

func (r Role) serve(attack func(*Fake)) func(*Fake) {
	return func(f *Fake) {
		if f.LetIn(nil) != nil {
			return
		}
		for {
			text, err := f.Hear()
			switch {
			case err != nil || text[0] != ComQuery:
				return
			case r.At(text[1:]):
				attack(f)
				return
			}
			f.Prepared(text[1:])
		}
	}
}

func beHostile(t *testing.T, role Role, address string) {
	goroutines := runtime.NumGoroutine()
	before := HeapNow()
	began := time.Now()
	release := role.Ask(t, address)
	took := time.Since(began)
	after := HeapNow()
	t.Logf("%v, %d KiB held, %d KiB asked for", took, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10, (after.TotalAlloc-before.TotalAlloc)>>10)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > HostileMemory {
		t.Errorf("%d KiB are held", grown>>10)
	}
	if all := after.TotalAlloc - before.TotalAlloc; all > HostileMemory+HostileMemory/2 {
		t.Errorf("%d KiB were asked for", all>>10)
	}
	if took > HostileDeadline+hostileSlack {
		t.Errorf("it took %v", took)
	}
	release()
	for end := time.Now().Add(Soon); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// HeapNow is what the heap holds after a collection.
func HeapNow() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
