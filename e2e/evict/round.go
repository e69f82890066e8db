package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// shape is a way to end a node, or to make one that lives look as if it had ended.
type shape struct {
	name, what string
	// lives: the accused is alive and talks to the others: it must not be evicted.
	lives bool
	// silent: the daemons evict who is silent, too.
	silent bool
	// idle: nobody writes through the proxies. everywhere: a client writes straight to each survivor.
	idle, everywhere bool
	// may: an eviction may come or not.
	may bool
	// play does it to the round's victim, marks the moment, and undoes it.
	play func(ctx context.Context, r *round) error
}

// named tells whether one of -only's words means this shape.
func (s *shape) named(word string) bool {
	if beginning, ok := strings.CutSuffix(word, "*"); ok {
		return strings.HasPrefix(s.name, beginning)
	}
	return s.name == word
}

// Marks of a round's load.
const (
	markEnd  = "end"  // of the victim
	markBack = "back" // it begins to come back
)

// round is one play of a shape, and what came of it.
type round struct {
	shape  *shape
	number int
	stage  *stage
	random *rand.Rand

	victim    *lab.Node
	wasActive bool
	dies      *lab.Node // another one, whose process may end by what is done to it: that it is evicted then is right
	lives     []life
	load      *lab.Load
	logs      *reader
	endAt     time.Time
	undo      []func(context.Context) error
	note      string

	outage, direct time.Duration // of the worst proxy, and of the direct client
	order, view    time.Duration // from the end to the order, and from it to the view
	rejoin         time.Duration // the worst outage of the direct client while the victim comes back
	evicted        bool
	whys, wrong    []string
}

func (r *round) broke(format string, args ...any) {
	const longest = 400
	what := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	r.wrong = append(r.wrong, what[:min(len(what), longest)])
}

// between is a random time.
func (r *round) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.random.Int64N(int64(to-from)+1))
}

func (r *round) play(ctx context.Context) error {
	active, err := r.stage.active(ctx)
	if err != nil {
		return err
	}
	if r.victim == nil {
		r.victim = active
		if others := r.stage.others(active); strings.Contains(r.shape.name, "another") || r.shape.lives && r.random.IntN(2) == 0 {
			r.victim = others[r.random.IntN(len(others))]
		}
	}
	r.wasActive = r.victim == active
	survivors := r.stage.others(r.victim)
	for _, n := range r.stage.DB {
		l, err := lifeOf(ctx, n)
		if err != nil {
			return err
		}
		if n != r.victim || r.shape.lives {
			r.lives = append(r.lives, l)
		}
	}
	direct := survivors[:1]
	if r.shape.everywhere {
		direct = survivors
	}
	cfg := lab.LoadConfig{Clients: 4, ReconnectEvery: 20, Direct: direct}
	if r.shape.idle {
		cfg.Rate = 2 // enough to see an outage of a second
	}
	r.logs = r.stage.reader()
	if r.load, err = r.stage.StartLoad(ctx, cfg); err != nil {
		return err
	}
	defer r.load.Stop()
	fctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := r.load.WaitFlowing(fctx); err != nil {
		return err
	}
	lab.Sleep(ctx, r.between(0, time.Second))
	err = r.shape.play(ctx, r)
	for i := len(r.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, r.undo[i](context.WithoutCancel(ctx)))
	}
	if err != nil {
		r.broke("%v", err)
	}
	return r.judge(ctx)
}

// ends marks the moment of the victim's end.
func (r *round) ends() {
	r.load.Mark(markEnd)
	r.endAt = time.Now()
}

// flows waits until commits go on everywhere, and a little longer, and takes the outage's figures.
func (r *round) flows(ctx context.Context) error {
	if err := r.load.WaitFlowing(ctx); err != nil {
		return err
	}
	lab.Sleep(ctx, r.between(1200*time.Millisecond, 2*time.Second))
	log := r.load.Snapshot()
	_, r.outage = log.Worst(markEnd)
	r.direct, _ = log.Floor(markEnd)
	return nil
}

// back starts the victim again and waits until it is synced.
func (r *round) back(ctx context.Context) error {
	r.load.Mark(markBack)
	return r.victim.Start(ctx)
}

// judge waits until all is as before the round, and says what is not.
func (r *round) judge(ctx context.Context) error {
	wctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// A node that was stopped and goes on calls itself synced until it has heard that the others put it out.
	for range 2 {
		if err := r.stage.lab.WaitSynced(wctx); err != nil {
			r.broke("not all came back: %v", err)
			return nil
		}
		lab.Sleep(wctx, time.Second)
	}
	if err := r.stage.lab.WaitSynced(wctx); err != nil {
		r.broke("not all stayed: %v", err)
		return nil
	}
	if at, view, ok := r.logs.order(); ok {
		r.view = view
		if !r.endAt.IsZero() {
			r.order = at.Sub(r.endAt)
		}
	}
	told, rightly := "", false
	for _, l := range r.logs.lines(saysTold) {
		if r.dies != nil && strings.Contains(l.text, " victim="+r.dies.Name+" ") {
			rightly = true
			continue
		}
		told += l.text + " "
	}
	r.whys = r.logs.whys()
	r.evicted = told != "" || !rightly && slices.ContainsFunc(r.lives, life.evicts)
	if r.evicted || rightly {
		r.stage.done++
		pctx, cancel := context.WithTimeout(ctx, 8*time.Second)
		defer cancel()
		if _, ok := r.logs.wait(pctx, saysPaid); !ok {
			r.broke("the debt was not paid")
		}
	}
	switch {
	case r.shape.lives && r.evicted:
		r.broke("EVICTED ALIVE: %s", told)
	case !r.shape.lives && !r.shape.may && !r.evicted:
		r.broke("not evicted")
	}
	for _, l := range r.lives {
		if what := l.ended(); what != "" {
			r.broke("%s", what)
		}
		if what := owed(ctx, l.node, l.period); what != "" {
			r.broke("%s", what)
		}
	}
	if err := r.load.WaitFlowing(wctx); err != nil {
		r.broke("%v", err)
	}
	log := r.load.Stop()
	if r.shape.lives {
		_, r.outage = log.Worst(markEnd)
		r.direct, _ = log.Floor(markEnd)
	}
	if _, ok := log.At(markBack); ok {
		r.rejoin, _ = log.Floor(markBack)
	}
	return r.equal(ctx, log)
}

// equal compares the nodes' data with each other and with what was acknowledged.
func (r *round) equal(ctx context.Context, log *lab.Log) error {
	lost, err := r.stage.Lost(ctx, log)
	if err != nil {
		return err
	}
	for node, commits := range lost {
		r.broke("%s lacks %d acknowledged commits, the first is %+v", node, len(commits), commits[0])
	}
	var first string
	for i, n := range r.stage.DB {
		rows, err := n.Query(ctx, "CHECKSUM TABLE lab.commits")
		if err != nil {
			return err
		}
		if i == 0 {
			first = rows[0][1]
		} else if rows[0][1] != first {
			r.broke("%s and %s have different data", n.Name, r.stage.DB[0].Name)
		}
	}
	return nil
}

// String is the round's line.
func (r *round) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%6.0f", float64(d)/float64(time.Millisecond)) }
	verdict := "ok"
	if len(r.wrong) > 0 {
		verdict = "WRONG: " + strings.Join(r.wrong, "; ")
	}
	victim := ""
	if r.victim != nil {
		victim = r.victim.Name
	}
	if r.wasActive {
		victim += "*"
	}
	text := fmt.Sprintf("%-18s %2d %-4s proxies %s direct %s order %s view %s rejoin %s ms evicted %-5t %s%s", r.shape.name, r.number, victim,
		ms(r.outage), ms(r.direct), ms(r.order), ms(r.view), ms(r.rejoin), r.evicted, r.note, verdict)
	if r.shape.lives || !r.evicted {
		for _, why := range r.whys {
			text += "\n      " + why
		}
	}
	return text
}
