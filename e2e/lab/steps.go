package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// StepsTag is the build tag that compiles the step hook (package control/step) into the binaries; see BuildWith.
const StepsTag = "steps"

// stepPoll is how often WaitReached looks: a step that nobody stops may be over soon.
const stepPoll = time.Millisecond

func (l *Lab) stepsDir() string { return filepath.Join(l.Dir, "steps") }

// stepEnv tells a process where its steps are. Binaries without StepsTag do not read it.
func (l *Lab) stepEnv(member string) []string {
	return []string{"HAPROXYD_STEPS=" + l.stepsDir(), "HAPROXYD_STEPS_MEMBER=" + member}
}

// cleanSteps lets every stopped step go and forgets which were reached.
func (l *Lab) cleanSteps() error {
	return errors.Join(os.RemoveAll(l.stepsDir()), os.Mkdir(l.stepsDir(), 0o755))
}

func (l *Lab) stopFile(step string) string { return filepath.Join(l.stepsDir(), step+".stop") }

// StopAt makes every daemon that comes to a step wait there until LetGo, Reset or 10 s have passed, and forgets who has
// reached it before. The binaries need StepsTag.
func (l *Lab) StopAt(step string) error {
	if err := os.WriteFile(l.stopFile(step), nil, 0o644); err != nil {
		return fmt.Errorf("stop at step %s: %w", step, err)
	}
	old, err := filepath.Glob(filepath.Join(l.stepsDir(), "*."+step+".reached"))
	for _, file := range old {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// LetGo lets those go on that wait at a step. It is no error if nobody was told to.
func (l *Lab) LetGo(step string) error {
	if err := os.Remove(l.stopFile(step)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("let go at step %s: %w", step, err)
	}
	return nil
}

// Reached tells whether a member ("px0"; "ctl" for StartCtl) has come to a step since the last StopAt or Reset.
func (l *Lab) Reached(step, member string) bool {
	_, err := os.Stat(filepath.Join(l.stepsDir(), member+"."+step+".reached"))
	return err == nil
}

// WaitReached waits until all these members have come to a step, none given: until any proxy's daemon has.
func (l *Lab) WaitReached(ctx context.Context, step string, members ...string) error {
	return poll(ctx, "step "+step, stepPoll, func() (bool, string, error) {
		for _, member := range members {
			if !l.Reached(step, member) {
				return false, member + " has not come to it", nil
			}
		}
		for _, p := range l.PX {
			if len(members) == 0 && l.Reached(step, p.Name) {
				return true, "", nil
			}
		}
		return len(members) > 0, "nobody has come to it", nil
	})
}
