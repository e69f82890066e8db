package step_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/step"
)

// run builds the caller with or without the tag and runs it with a steps folder. It returns the binary's bytes and
// whether the step was reached.
func run(t *testing.T, args ...string) (binary []byte, reached bool) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "caller")
	build := exec.Command("go", append(append([]string{"build", "-o", path}, args...), "./testdata/caller")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "HAPROXYD_STEPS="+dir, "HAPROXYD_STEPS_MEMBER=px0")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "passed\n" {
		t.Fatalf("%v: %s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(dir, "px0.middle.reached"))
	return binary, err == nil
}

// TestOnlyWithTheTag: what ships has neither the hook nor its words.
func TestOnlyWithTheTag(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	if binary, reached := run(t); reached || bytes.Contains(binary, []byte("HAPROXYD_STEPS")) ||
		bytes.Contains(binary, []byte("control/step.At")) {
		t.Errorf("the hook is in a binary without the tag (reached %v)", reached)
	}
	if binary, reached := run(t, "-tags", "steps"); !reached || !bytes.Contains(binary, []byte("HAPROXYD_STEPS")) {
		t.Errorf("the hook is missing with the tag (reached %v)", reached)
	}
}

// TestWithTheTag runs the tests of the tagged half, which a plain `go test` leaves out.
func TestWithTheTag(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	out, err := exec.Command("go", "test", "-tags", "steps", "-run", "^TestAStop", "-v", ".").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestAStopHolds")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func BenchmarkAt(b *testing.B) {
	ctx := context.Background()
	for b.Loop() {
		step.At(ctx, "middle")
	}
}

func BenchmarkNothing(b *testing.B) {
	for b.Loop() {
	}
}
