package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Dump writes what one needs to understand a failure into a folder. What cannot be had is said in its place.
func (k *Kube) Dump(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	write := func(name, text string, err error) error {
		if err != nil {
			text += fmt.Sprintf("\n%v\n", err)
		}
		return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
	for name, args := range map[string][]string{
		"pods.txt":     {"get", "pods,pvc,nodes,endpointslices", "-o", "wide"},
		"describe.txt": {"describe", "pods"},
		"events.txt":   {"get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, err := k.Kubectl(ctx, args...)
		if err := write(name, out, err); err != nil {
			return err
		}
	}
	for _, app := range []string{haproxyApp, pxcApp} {
		pods, err := k.Pods(ctx, app)
		if err != nil {
			return err
		}
		for _, p := range pods {
			for _, c := range containers(p) {
				for _, previous := range []string{"false", "true"} {
					out, err := k.Kubectl(ctx, "logs", p.Name, "-c", c, "--previous="+previous, "--tail=3000")
					if previous == "true" && err != nil {
						continue // it has not been started again
					}
					name := p.Name + "." + c
					if previous == "true" {
						name += ".previous"
					}
					if err := write(name+".log", out, err); err != nil {
						return err
					}
				}
			}
			if app != haproxyApp {
				continue
			}
			for name, args := range map[string][]string{"status": {"status"}, "status-json": {"status", "-o", "json"}, "history": {"active", "history"}, "register": {"register", "status"}} {
				out, err := k.Ctl(ctx, p.Name, args...)
				if err := write(p.Name+"."+name+".txt", out, err); err != nil {
					return err
				}
			}
			for _, line := range []string{"show table " + writers, "show table " + private, "show servers state", "show peers"} {
				out, err := k.Runtime(ctx, p.Name, line)
				if err := write(p.Name+".runtime."+line[len("show "):]+".txt", out, err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func containers(p corev1.Pod) []string {
	var names []string
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		names = append(names, c.Name)
	}
	return names
}
