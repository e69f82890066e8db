// Command evict kills, hangs and cuts off database nodes of a real Galera at its default timers, under load, and lets the
// daemons evict them; and puts firewalls before nodes that live, which must not be evicted, whatever they and the
// others are at work with. It prints a line for each round and the distribution of each shape, and ends with 1 if one
// round was not as it must be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s soak
	flag.IntVar(&s.rounds, "rounds", 20, "`N` rounds of each shape")
	only := flag.String("only", "", "the shapes to play, `NAME,...`; a name's beginning and a * is all of those (default: all)")
	seed := flag.Uint64("seed", 0, "`N` repeats the random choices of a run (default: another one each time)")
	flag.DurationVar(&s.long, "for", 0, "begin no round after this `TIME` (default: no bound)")
	flag.IntVar(&s.nodes, "nodes", 3, "`N` databases, three or more")
	flag.StringVar(&s.logs, "logs", "", "`FOLDER` for all processes' logs of rounds that went wrong")
	list := flag.Bool("list", false, "print the shapes and do nothing")
	flag.Parse()
	for _, sh := range shapes() {
		if *only == "" || slices.ContainsFunc(strings.Split(*only, ","), sh.named) {
			s.shapes = append(s.shapes, sh)
		}
	}
	if *list {
		for _, sh := range s.shapes {
			fmt.Printf("%-22s %s\n", sh.name, sh.what)
		}
		return 0
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	fmt.Printf("-seed %d\n", *seed)
	s.random = rand.New(rand.NewPCG(*seed, 0)) //nolint:gosec // choices of a test, to be repeated
	if err := s.run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "evict:", err)
		return 1
	}
	return 0
}

// soak is what was asked for, and what came of it.
type soak struct {
	shapes []shape
	rounds int
	long   time.Duration
	logs   string
	nodes  int
	random *rand.Rand

	stage  *stage
	played []*round
}

var errWrong = errors.New("not everything is as it must be: see above")

func (s *soak) run(ctx context.Context) (err error) {
	if len(s.shapes) == 0 {
		return errors.New("no shape has such a name: see -list")
	}
	if err := lab.Requirements(lab.Config{}); err != nil {
		return fmt.Errorf("%w; e2e/install-deps.sh installs them", err)
	}
	dir, err := os.MkdirTemp("", "haproxy-peers-evict-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	haproxyd, haproxyctl, err := lab.Build(ctx, dir)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl, Nodes: s.nodes, GaleraDefaults: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s.stage = &stage{lab: l}
	began := time.Now()
	wrong := 0
	defer func() { fmt.Print(figures(s.played)) }()
	// One round of each in turn: a run that is cut short has seen all shapes.
	for i := range s.rounds {
		for j := range s.shapes {
			if ctx.Err() != nil || s.long > 0 && time.Since(began) > s.long {
				return judged(wrong, ctx.Err())
			}
			r := s.play(ctx, &s.shapes[j], i)
			s.played = append(s.played, r)
			fmt.Println(r)
			if len(r.wrong) > 0 {
				wrong++
			}
		}
	}
	return judged(wrong, nil)
}

func judged(wrong int, err error) error {
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%w (%d rounds)", errWrong, wrong))
	}
	return err
}

// play plays one round. One that went wrong is followed by a stage that is built anew.
func (s *soak) play(ctx context.Context, sh *shape, number int) *round {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r := &round{shape: sh, number: number, stage: s.stage, random: s.random}
	if err := s.stage.ready(ctx, sh); err != nil {
		r.broke("the stage: %v", err)
	} else if err := r.play(ctx); err != nil {
		r.broke("%v", err)
	}
	if len(r.wrong) == 0 {
		return r
	}
	s.stage.spent = true
	if s.logs != "" {
		folder := filepath.Join(s.logs, fmt.Sprintf("%s-%d", sh.name, number))
		if err := s.stage.lab.SaveLogs(folder); err != nil {
			r.broke("keep the logs: %v", err)
		}
	}
	return r
}
