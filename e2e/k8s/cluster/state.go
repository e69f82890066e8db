package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/kube/kubetest"
)

// state is what a native cluster leaves on disk, so that another process can use it and take it down.
type state struct {
	// Maker is the process that made it.
	Maker int
	// Switch and Holders are the processes that hold the namespaces; a holder per node.
	Switch  int
	Holders map[string]int
	Nodes   int
	Version string
	// Sysctls are the values of the machine before the first kubelet changed them.
	Sysctls map[string]string
	// Made are folders of the machine that were made as places to mount at.
	Made []string
	// Up is set once everything has come up.
	Up bool
}

// sysctls are those of the whole machine that kubelet sets (pkg/kubelet/cm, "kernel flags").
var sysctls = []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"}

// nativeDir is the folder of the native cluster.
func nativeDir() (string, error) {
	cache, err := kubetest.CacheDir()
	return filepath.Join(cache, "native"), err
}

func readState(dir string) (*state, error) {
	content, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("%s/state.json: %w", dir, err)
	}
	return &s, nil
}

// write replaces the file in one step: a maker may be killed at any time.
func (s *state) write(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "state.json")
	if err := os.WriteFile(path+".new", append(content, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readSysctls() (map[string]string, error) {
	values := map[string]string{}
	for _, name := range sysctls {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return nil, err
		}
		values[name] = strings.TrimSpace(string(value))
	}
	return values, nil
}

func restoreSysctls(values map[string]string) error {
	var failed error
	for name, value := range values {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// makeFolders makes the places to mount at that are missing and returns them, parents first.
func makeFolders(paths []string) ([]string, error) {
	var made []string
	for _, path := range paths {
		var missing []string
		for dir := path; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(dir); err == nil {
				break
			} else if !errors.Is(err, fs.ErrNotExist) {
				return made, err
			}
			missing = append([]string{dir}, missing...)
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return made, err
		}
		made = append(made, missing...)
	}
	return made, nil
}

// removeFolders removes what makeFolders made, as far as it is empty.
func removeFolders(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		_ = os.Remove(made[i])
	}
}
