package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// registry is where labs write down who owns them, so that leftovers can be told from living labs.
const registry = "/run/haproxy-peers-lab"

// owner is a lab's entry in the registry.
type owner struct {
	ID  string `json:"id"`
	Dir string `json:"dir"`
	PID int    `json:"pid"`
	// Started is field 22 of /proc/PID/stat: a pid alone may belong to another process by now.
	Started string `json:"started"`
}

func (o owner) alive() bool {
	started, err := startTime(o.PID)
	return err == nil && started == o.Started
}

func startTime(pid int) (string, error) {
	fields, err := procStat(pid)
	if err != nil {
		return "", err
	}
	return fields[22-3], nil
}

func entryPath(id string) string { return filepath.Join(registry, id+".json") }

// register claims the lab's id. It fails if another lab has it.
func (l *Lab) register() error {
	started, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	text, err := json.Marshal(owner{ID: l.ID, Dir: l.Dir, PID: os.Getpid(), Started: started})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(registry, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(entryPath(l.ID), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("claim the lab's id %s: %w", l.ID, err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// CleanStale removes what labs of processes that no longer live have left: processes in their namespaces, the
// namespaces, their folders. It returns the ids of those labs. New calls it.
func CleanStale() ([]string, error) {
	entries, err := filepath.Glob(filepath.Join(registry, "*.json"))
	if err != nil {
		return nil, err
	}
	var cleaned []string
	var errs []error
	for _, path := range entries {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var o owner
		if err == nil {
			err = json.Unmarshal(text, &o)
		}
		if err != nil || o.ID == "" {
			// Being written at this moment by another lab, or unreadable: not ours to judge.
			continue
		}
		if o.alive() {
			continue
		}
		if err := remove(o.ID, o.Dir); err != nil {
			errs = append(errs, err)
			continue
		}
		cleaned = append(cleaned, o.ID)
	}
	return cleaned, errors.Join(errs...)
}

// remove ends every process in the namespaces of a lab and removes namespaces, folder and registry entry. Only the
// lab's own processes are ever in its namespaces.
func remove(id, dir string) error {
	names, err := namespaces(id)
	if err != nil {
		return err
	}
	if err := endProcesses(names, 5*time.Second); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, ip("netns", "del", name))
	}
	if strings.HasPrefix(filepath.Base(dir), folderPrefix) {
		errs = append(errs, unmountBelow(dir), os.RemoveAll(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove lab %s: %w", id, err)
	}
	if err := os.Remove(entryPath(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// namespaces lists the namespaces of a lab.
func namespaces(id string) ([]string, error) {
	paths, err := filepath.Glob(netnsFolder + namespacePrefix(id) + "*")
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths, err
}

// endProcesses kills what runs in namespaces until nothing does: a process may fork while the list is read.
func endProcesses(names []string, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		var left []int
		for _, name := range names {
			out, err := exec.Command("ip", "netns", "pids", name).Output()
			if err != nil {
				return fmt.Errorf("ip netns pids %s: %w", name, err)
			}
			for _, field := range strings.Fields(string(out)) {
				if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
					left = append(left, pid)
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of a lab do not end", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// reaperScript waits for the end of its standard input, which comes when the lab's process is gone however it went,
// and then removes what is left. A lab that was closed says so first.
const reaperScript = `read -r word; [ "$word" = closed ] && exit 0
for turn in 1 2 3; do
	for ns in /run/netns/"$1"*; do
		[ -e "$ns" ] || continue
		for pid in $(ip netns pids "${ns##*/}"); do kill -9 "$pid"; done
	done
	sleep 0.1
done
for ns in /run/netns/"$1"*; do [ -e "$ns" ] && ip netns del "${ns##*/}"; done
for disk in "$2"/*; do mountpoint -q "$disk" && umount -l "$disk"; done
rm -rf -- "$2" "$3"`

// reaper is the waiting shell. Its session is its own, so an interrupt typed at the terminal does not reach it.
type reaper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startReaper(id, dir string) (*reaper, error) {
	cmd := exec.Command("sh", "-c", reaperScript, "lab-reaper", namespacePrefix(id), dir, entryPath(id))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the lab's reaper: %w", err)
	}
	return &reaper{cmd: cmd, stdin: stdin}, nil
}

// dismiss ends the reaper without letting it remove anything.
func (r *reaper) dismiss() error {
	_, err := io.WriteString(r.stdin, "closed\n")
	return errors.Join(err, r.stdin.Close(), r.cmd.Wait())
}
