package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

// revisionLabel is what a StatefulSet writes on its pods: which of its templates
// they were made from.
const revisionLabel = "controller-revision-hash"

// Pod is one pod of the selector.
type Pod struct {
	Name, UID string
	// Revision is the template of the StatefulSet that the pod was made from, "" where
	// it has no such label.
	Revision string
	// Going: it was deleted, and its containers end at Until at the latest. Until is by
	// the API server's clock and the same for everybody who asks; Deadline is the same
	// moment by this process's clock, to about a second; Since is when it was noticed.
	Going                  bool
	Until, Deadline, Since time.Time
}

// Watcher knows the pods. Its methods may be called from anywhere.
type Watcher struct {
	cfg     Config
	changed chan struct{}
	up      prometheus.Gauge
	errors  prometheus.Counter
	lists   prometheus.Counter
	deaf    bool // the last watch was silent; Run alone uses it

	mu      sync.Mutex     // guards what follows
	pods    map[string]Pod // by name
	synced  bool           // a watch stands: what is not told has not changed
	problem string
}

// New checks the configuration; nothing is asked before Run.
func New(cfg Config) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	f := promauto.With(cfg.Registerer)
	return &Watcher{
		cfg: cfg, changed: make(chan struct{}, 1), pods: map[string]Pod{},
		problem: "kubernetes: the pods have not been listed yet",
		up: f.NewGauge(prometheus.GaugeOpts{Namespace: "haproxyd", Name: "kubernetes_watch_up",
			Help: "1 while the API server tells which database pods are being deleted."}),
		errors: f.NewCounter(prometheus.CounterOpts{Namespace: "haproxyd", Name: "kubernetes_errors_total",
			Help: "Requests to the API server that failed, and watches that broke."}),
		lists: f.NewCounter(prometheus.CounterOpts{Namespace: "haproxyd", Name: "kubernetes_lists_total",
			Help: "Lists of the database pods: one at the start, one whenever the API server has forgotten where a watch was."}),
	}, nil
}

// Pods returns what is known now, by name. A pod that was going when the API server
// was last heard is forgotten some time after its deadline: its end is certain, and
// what has come after it is not known.
func (w *Watcher) Pods() []Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.pods, func(_ string, p Pod) bool {
		return p.Going && !w.synced && time.Since(p.Deadline) > w.cfg.margin
	})
	return slices.SortedFunc(maps.Values(w.pods), func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
}

// Changed is woken when Pods or Problem may say something new.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Problem is why the pods are not known, "" if they are.
func (w *Watcher) Problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem
}

// Run lists and watches until ctx is done. It never fails: what keeps it from its
// work is its Problem.
func (w *Watcher) Run(ctx context.Context) error {
	version, pause := "", w.cfg.retry
	for ctx.Err() == nil {
		began := time.Now()
		next, err := w.once(ctx, version)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ended because it was to end
		}
		version = next
		worked := time.Since(began) > w.cfg.maxRetry
		if worked {
			pause = w.cfg.retry
		}
		switch {
		case errors.Is(err, errGone):
			w.cfg.Logger.Debug("the pods are listed anew", "reason", err)
			version = ""
		case err != nil:
			w.failed(err)
			worked = false
		}
		if worked {
			continue // the watch's time was over
		}
		// Up to half as long again, so that the daemons of a cluster do not ask at once.
		select {
		case <-ctx.Done():
		case <-time.After(pause + rand.N(pause/2+1)):
		}
		if err != nil {
			pause = min(2*pause, w.cfg.maxRetry)
		}
	}
	return nil
}

func (w *Watcher) failed(err error) {
	w.errors.Inc()
	w.up.Set(0)
	text := "kubernetes: " + err.Error() + "; a pod's deletion is not seen meanwhile"
	w.mu.Lock()
	news := w.problem != text
	w.synced, w.problem = false, text
	w.mu.Unlock()
	if news {
		w.cfg.Logger.Warn("the database pods cannot be watched", "error", err)
	}
	nudge.Send(w.changed)
}

// once lists the pods if version is empty, then watches until the watch ends. It
// returns the version from which the next watch goes on, "" for a new list.
func (w *Watcher) once(ctx context.Context, version string) (string, error) {
	client, base, token, err := w.client()
	if err != nil {
		return version, err
	}
	defer client.CloseIdleConnections()
	query := url.Values{"labelSelector": {w.cfg.Selector}}
	if version == "" {
		w.lists.Inc()
		lctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		body, server, err := get(lctx, client, base+"?"+query.Encode(), token, "PartialObjectMetadataList")
		if err != nil {
			return "", err
		}
		l, err := readList(body)
		_ = body.Close()
		if err != nil {
			return "", err
		}
		w.replace(l.Items, server.ahead(time.Now()))
		version = l.Metadata.ResourceVersion
	}
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", version)
	// Ended by the server some time; a random one, so that not all end at once. One
	// that does not end it then, or whatever stands in between, says nothing any more.
	limit := w.cfg.watch + rand.N(w.cfg.watch)
	query.Set("timeoutSeconds", fmt.Sprint(max(1, int(limit/time.Second))))
	wctx, cancel := context.WithTimeoutCause(ctx, limit+w.cfg.patience, errSilent)
	defer cancel()
	body, server, err := get(wctx, client, base+"?"+query.Encode(), token, "PartialObjectMetadata")
	if err != nil {
		return version, err
	}
	defer func() { _ = body.Close() }()
	if !w.deaf {
		w.stands()
	}
	for events := readEvents(body); ; {
		kind, o, err := events.next()
		if err != nil && errors.Is(context.Cause(wctx), errSilent) { // what is read then is our own end of it, also as an EOF
			w.deaf = true
			return version, fmt.Errorf("%w: the watch was to end after %v and did not by %v later", errSilent, limit.Round(time.Second), w.cfg.patience)
		}
		if errors.Is(err, io.EOF) {
			w.heard()
			return version, nil
		}
		if err != nil {
			w.deaf = w.deaf && !errors.Is(err, errGone) // that was a word
			return version, err
		}
		if v := o.Metadata.ResourceVersion; v != "" {
			version = v
		}
		w.heard()
		w.apply(kind, o, server.ahead(time.Now()))
	}
}

// errSilent says that a connection lives and nothing is said on it.
var errSilent = errors.New("the API server, or a proxy before it, keeps a watch open and says nothing")

// heard notes that the server has said something on a watch, or has ended it in
// time. After a silence only that counts: the beginning of an answer does not.
func (w *Watcher) heard() {
	if w.deaf {
		w.deaf = false
		w.stands()
	}
}

// client makes a client of the account's files as they are now.
func (w *Watcher) client() (client *http.Client, base, token string, err error) {
	server, err := w.cfg.server()
	if err != nil {
		return nil, "", "", err
	}
	var texts [3]string
	for i, name := range []string{"token", "ca.crt", "namespace"} {
		if texts[i], err = w.cfg.file(name); err != nil {
			return nil, "", "", err
		}
	}
	t, err := transport(texts[1])
	if err != nil {
		return nil, "", "", err
	}
	return &http.Client{Transport: t}, server + "/api/v1/namespaces/" + url.PathEscape(texts[2]) + "/pods", texts[0], nil
}

// get asks for metadata. The clock is the server's.
func get(ctx context.Context, client *http.Client, address, token, kind string) (io.ReadCloser, *serverClock, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json;as="+kind+";g=meta.k8s.io;v=v1")
	req.Header.Set("User-Agent", "haproxyd")
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address and its query are known
		}
		return nil, nil, fmt.Errorf("the API server at %s does not answer: %w", req.URL.Host, err)
	}
	if res.StatusCode != http.StatusOK {
		err := refusal(res.StatusCode, res.Body)
		_ = res.Body.Close()
		return nil, nil, err
	}
	return res.Body, clockOf(res.Header, time.Now()), nil
}

// stands notes that a watch stands.
func (w *Watcher) stands() {
	w.mu.Lock()
	w.synced, w.problem = true, ""
	w.mu.Unlock()
	w.up.Set(1)
	nudge.Send(w.changed)
}

// replace takes a whole list: a pod that is not in it is gone.
func (w *Watcher) replace(items []object, ahead time.Duration) {
	w.mu.Lock()
	old := w.pods
	w.pods = make(map[string]Pod, len(items))
	for i := range items {
		p := items[i].pod(ahead)
		w.pods[p.Name] = w.since(p, old[p.Name])
	}
	w.mu.Unlock()
	nudge.Send(w.changed)
}

// apply takes one event.
func (w *Watcher) apply(kind string, o *object, ahead time.Duration) {
	if kind == "BOOKMARK" {
		return
	}
	p := o.pod(ahead)
	w.mu.Lock()
	old, known := w.pods[p.Name]
	switch {
	case kind != "DELETED":
		w.pods[p.Name] = w.since(p, old)
	case known && old.UID == p.UID:
		delete(w.pods, p.Name)
	}
	w.mu.Unlock()
	nudge.Send(w.changed)
}

// since keeps when a going pod was noticed, and says so once.
func (w *Watcher) since(p, old Pod) Pod {
	if !p.Going {
		return p
	}
	if old.UID == p.UID && old.Going {
		p.Since = old.Since
		if p.Until.Equal(old.Until) {
			p.Deadline = old.Deadline
		}
		return p
	}
	w.cfg.Logger.Info("a database pod is being deleted", "pod", p.Name, "uid", p.UID, "until", p.Until)
	return p
}

func (o *object) pod(ahead time.Duration) Pod {
	m := &o.Metadata
	p := Pod{Name: m.Name, UID: m.UID, Revision: m.Labels[revisionLabel]}
	if m.DeletionTimestamp != nil {
		now := time.Now()
		p.Going, p.Since, p.Until = true, now, m.DeletionTimestamp.UTC()
		p.Deadline = now.Add(m.DeletionTimestamp.Sub(now) - ahead)
	}
	return p
}
