//go:build steps

package step

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// folder makes a steps folder for a member px1.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HAPROXYD_STEPS", dir)
	t.Setenv("HAPROXYD_STEPS_MEMBER", "px1")
	return dir
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAStopHolds(t *testing.T) {
	dir := folder(t)
	stop := filepath.Join(dir, "middle.stop")
	touch(t, stop)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		time.AfterFunc(3*time.Second, func() {
			if _, err := os.Stat(filepath.Join(dir, "px1.middle.reached")); err != nil {
				t.Error(err)
			}
			_ = os.Remove(stop)
		})
		At(t.Context(), "other") // another step is not stopped
		At(t.Context(), "middle")
		if took := time.Since(begin); took < 3*time.Second || took > 3*time.Second+2*look {
			t.Errorf("held for %v", took)
		}
	})
}

func TestAStopEnds(t *testing.T) {
	touch(t, filepath.Join(folder(t), "middle.stop"))
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		At(t.Context(), "middle")
		if took := time.Since(begin); took != longest {
			t.Errorf("a forgotten stop held for %v, want %v", took, longest)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		At(ctx, "middle")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("held for %v after the end of the context", took)
		}
	})
}
