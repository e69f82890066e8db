package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/control/kube/kubetest"
)

// here runs the API server's processes on this machine.
func here(t *testing.T, dir string) kubetest.Machine {
	return kubetest.Machine{
		IP: "127.0.0.1",
		Start: func(_ string, args ...string) (func(), error) {
			cmd := exec.Command(args[0], args[1:]...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, dir
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			return func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("%s: %.3000s", filepath.Base(args[1]), out.String())
				}
			}, nil
		},
		Run: func(ctx context.Context, stdin, name string, args ...string) (string, error) {
			cmd := exec.CommandContext(ctx, name, args...)
			cmd.Stdin = strings.NewReader(stdin)
			out, err := cmd.Output()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%v: %w: %s", args, err, exit.Stderr)
			}
			return string(out), err
		},
	}
}

// Against a real API server: what is deleted is seen, what is not understood or not allowed is a problem that goes away,
// and neither a restart of the server nor a forgotten version loses anything.
func TestAPIServer(t *testing.T) {
	if _, err := kubetest.Find(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	dir := t.TempDir()
	s, err := kubetest.Start(ctx, here(t, dir), dir)
	t.Cleanup(s.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	must(s.Create(ctx, "pxc-0", "one", 30*time.Second))
	must(s.Create(ctx, "pxc-1", "one", 30*time.Second))
	must(s.Delete(ctx, "pxc-0")) // before the watcher's list

	must(s.Token("nonsense"))
	reg := prometheus.NewRegistry()
	w, err := New(Config{
		Selector: "app.kubernetes.io/name=pxc", API: s.URL, Account: s.Account, Registerer: reg,
		retry: 50 * time.Millisecond, maxRetry: 200 * time.Millisecond,
	})
	must(err)
	run := func() func() {
		rctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.Run(rctx) }()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	stop := run()
	t.Cleanup(func() { stop() })
	// wait returns how long it took until ok, looking at every change.
	wait := func(what string, ok func() bool) time.Duration {
		t.Helper()
		start := time.Now()
		for !ok() {
			select {
			case <-w.Changed():
			case <-time.After(30 * time.Second):
				t.Fatalf("no change brought: %s; %+v, %q", what, w.Pods(), w.Problem())
			}
		}
		return time.Since(start)
	}
	problem := func(text string) func() bool {
		return func() bool { return strings.Contains(w.Problem(), text) && (text != "" || w.Problem() == "") }
	}
	pod := func(name string) Pod {
		for _, p := range w.Pods() {
			if p.Name == name {
				return p
			}
		}
		return Pod{}
	}

	wait("a wrong token", problem("401 Unauthorized"))
	must(s.Permit(ctx, false))
	must(s.Token(""))
	wait("no permission", problem(`403 Forbidden: pods is forbidden: User "haproxyd" cannot list resource "pods"`))
	if up := testutil.ToFloat64(w.up); up != 0 {
		t.Errorf("haproxyd_kubernetes_watch_up is %v", up)
	}
	must(s.Permit(ctx, true))
	wait("the list", problem(""))
	p := pod("pxc-0")
	if left := time.Until(p.Deadline); !p.Going || left < 5*time.Second || left > 31*time.Second || p.Revision != "one" {
		t.Errorf("deleted before the list: %+v, %v left", p, left)
	}
	if p := pod("pxc-1"); p.Going || p.UID == "" {
		t.Errorf("not deleted: %+v", p)
	}

	start := time.Now()
	must(s.Delete(ctx, "pxc-1"))
	wait("the deletion", func() bool { return pod("pxc-1").Going })
	p = pod("pxc-1")
	if left := p.Deadline.Sub(start); left < 28*time.Second || left > 33*time.Second {
		t.Errorf("its end is %v after the deletion was asked for, with 30 s of grace", left)
	}
	first := p.UID
	must(s.Release(ctx, "pxc-1"))
	wait("its end", func() bool { return pod("pxc-1").UID == "" })
	must(s.Create(ctx, "pxc-1", "two", 30*time.Second))
	wait("its successor", func() bool {
		p := pod("pxc-1")
		return p.UID != "" && p.UID != first && !p.Going && p.Revision == "two"
	})

	// The server is away: what is known stays. Meanwhile nothing can be deleted, so nothing is missed.
	s.StopAPI()
	wait("the server's end", func() bool { return w.Problem() != "" })
	t.Log(w.Problem())
	if p := pod("pxc-0"); !p.Going {
		t.Errorf("the server's end took a fact away: %+v", p)
	}
	must(s.StartAPI(ctx))
	t.Logf("seen again %v after it was ready", wait("the server again", problem("")))
	lists := testutil.ToFloat64(w.lists)

	// A version that etcd and the server have forgotten: a new list, and nobody notices.
	s.StopAPI()
	wait("the server's end", func() bool { return w.Problem() != "" })
	stop()
	must(s.StartAPI(ctx))
	must(s.Release(ctx, "pxc-0"))
	must(s.Compact(ctx))
	s.StopAPI()
	must(s.StartAPI(ctx))
	if _, err := w.once(ctx, "150"); !errors.Is(err, errGone) {
		t.Errorf("a forgotten version: %v", err)
	}
	stop = run()
	wait("the end that was missed", func() bool { return pod("pxc-0").UID == "" && w.Problem() == "" })
	if now := testutil.ToFloat64(w.lists); now <= lists {
		t.Errorf("%v lists, before %v", now, lists)
	}
	must(s.Delete(ctx, "pxc-1"))
	wait("a deletion after it", func() bool { return pod("pxc-1").Going })
}
