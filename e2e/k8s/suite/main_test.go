package suite

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
)

// env is what all scenarios share; nil where the suite does not run.
var env *environment

// environment is the cluster with everything in it.
type environment struct {
	*Kube
	cluster *cluster.Cluster
	tail    *Tail
	report  *Report
	ctx     context.Context
	// workload of the HAProxies: the StatefulSet of the sidecar base, or the DaemonSet.
	workload string
	// haproxies is how many there are.
	haproxies int
}

// testImages are the images that the pods of the suite have.
var testImages = []string{"haproxyd", "haproxy", "galera", "load"}

func TestMain(m *testing.M) {
	if os.Getenv("E2E_K8S") != "1" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/k8s:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	e := &environment{ctx: ctx, report: &Report{Dir: os.Getenv("E2E_K8S_OUT")}, workload: statefulSet + "/" + haproxyApp, haproxies: 3}
	if e.report.Dir == "" {
		if e.report.Dir, err = os.MkdirTemp("", "e2e-k8s-"); err != nil {
			return 1, err
		}
	} else if e.report.Dir, err = filepath.Abs(e.report.Dir); err != nil {
		return 1, err
	}
	if err := os.MkdirAll(e.report.Dir, 0o755); err != nil {
		return 1, err
	}
	if err := e.report.Load(); err != nil {
		return 1, err
	}
	keep := os.Getenv("KEEP") != ""
	e.cluster, err = cluster.Up(ctx, cluster.Options{Kind: os.Getenv("K8S_CLUSTER"), Nodes: 3, Log: os.Stderr, Reuse: keep})
	if err != nil {
		return 1, err
	}
	if !keep {
		defer func() {
			if downErr := e.cluster.Down(context.WithoutCancel(ctx)); err == nil {
				err = downErr
			}
		}()
	}
	// An existing cluster pulls them: its overlay has to name where from.
	if err := e.cluster.LoadImages(ctx, testImages...); err != nil && !errors.Is(err, cluster.ErrUnsupported) {
		return 1, err
	}
	if err := e.deploy(ctx); err != nil {
		return 1, err
	}
	defer e.tail.Stop()
	env = e
	code = m.Run()
	log.Printf("figures and timeline are in %s", e.report.Dir)
	return code, nil
}

func (e *environment) deploy(ctx context.Context) error {
	var err error
	if e.Kube, err = NewKube(e.cluster, Namespace); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := e.Deploy(ctx, sidecar, e.cluster.Nodes()[0], log.Printf); err != nil {
		dir := filepath.Join(e.report.Dir, "deploy")
		return errors.Join(fmt.Errorf("deploy: %w", err), e.Dump(context.WithoutCancel(ctx), dir))
	}
	if e.tail, err = StartTail(e.ctx, e.Kube); err != nil {
		return err
	}
	if err := Until(ctx, "the load's first line", 100*time.Millisecond, func() (bool, string) { return e.tail.Run() != "", "" }); err != nil {
		return err
	}
	e.report.Taken = fmt.Sprintf("%s, HAProxy %s, %d CPUs shared by everything", e.cluster.Describe(), e.haproxyVersion(ctx), cpus())
	return e.tail.WaitFlowing(ctx, "")
}

func (e *environment) haproxyVersion(ctx context.Context) string {
	pods, err := e.Proxies(ctx)
	if err != nil {
		return "?"
	}
	out, err := e.Runtime(ctx, pods[0], "show info")
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(out) {
		if version, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(version)
		}
	}
	return "?"
}

func cpus() int {
	out, err := exec.Command("nproc").Output()
	n := 0
	if err == nil {
		_, err = fmt.Sscan(string(out), &n)
	}
	if err != nil {
		return 0
	}
	return n
}
