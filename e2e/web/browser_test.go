package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// browser is a Chromium with one tab, and what it asked for and complained of.
type browser struct {
	t   *testing.T
	ctx context.Context
	out string // folder of the screenshots

	mu       sync.Mutex // guards what follows
	requests []string
	words    []string
}

// newBrowser starts Debian's Chromium on a host. The test is skipped where there is none.
func newBrowser(t *testing.T, h *lab.Host) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("e2e/install-deps.sh e2e installs the browser: ", err)
	}
	path := filepath.Join(t.TempDir(), "chromium")
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=/run/netns/%s %s \"$@\"\n", h.Namespace(), chromium)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))
	actx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(actx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, out: os.Getenv("E2E_WEB_OUT")}
	if b.out == "" {
		b.out = t.TempDir()
	}
	err = chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.requests = append(b.requests, e.Request.URL)
		case *log.EventEntryAdded:
			b.words = append(b.words, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		case *runtime.EventExceptionThrown:
			b.words = append(b.words, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.words = append(b.words, fmt.Sprint("console: ", e.Type))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	return b
}

// call is one command to the browser.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

func run[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// shape makes the window so large, and light or dark.
func (b *browser) shape(width, height int64, scheme string) {
	b.t.Helper()
	run(b, chromedp.EmulateViewport(width, height))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// picture takes a picture of the whole page.
func (b *browser) picture(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.out, name+".png"), run(b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// text is what stands on the page.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return run(b, chromedp.Evaluate[string](fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n")`, selector)))
}

// waits until a part of the page says all of these, without being loaded again.
func (b *browser) waits(within time.Duration, selector string, all ...string) {
	b.t.Helper()
	deadline := time.Now().Add(within)
	for {
		text := b.text(selector)
		missing := ""
		for _, want := range all {
			if !strings.Contains(text, want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("after %v %s does not say %q:\n%s", within, selector, missing, text)
		}
		lab.Sleep(b.ctx, 100*time.Millisecond)
	}
}

// gone waits until a part of the page is not there.
func (b *browser) gone(within time.Duration, selector string) {
	b.t.Helper()
	for deadline := time.Now().Add(within); b.text(selector) != ""; lab.Sleep(b.ctx, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("after %v %s still says: %s", within, selector, b.text(selector))
		}
	}
}

// fits asserts that nothing has to be scrolled to the side.
func (b *browser) fits() {
	b.t.Helper()
	if over := run(b, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); over > 0 {
		b.t.Errorf("the page is %d pixels wider than the window", over)
	}
}

// asksNobodyElse asserts that every request went to this place, and that the browser has nothing to complain of but
// that a daemon which is gone does not answer.
func (b *browser) asksNobodyElse(base string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if !strings.HasPrefix(r, base) && r != "data:," {
			b.t.Errorf("the page asks for %s", r)
		}
	}
	if len(b.requests) < 4 {
		b.t.Errorf("only %v was seen", b.requests)
	}
	for _, w := range b.words {
		if !strings.Contains(w, "net::ERR_") {
			b.t.Errorf("the browser says: %s", w)
		}
	}
}
