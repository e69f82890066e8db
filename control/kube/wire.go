package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxList bounds the list of the pods, and maxEvent one event of a watch: an
	// object of the API is at most 1.5 MiB (etcd's bound).
	maxList  = 4 << 20
	maxEvent = 4 << 20
)

// errGone says that the server does not know any more what has changed since our
// list: it must be made anew.
var errGone = errors.New("the API server has forgotten what was changed since the last list")

// object is what is read of a pod's metadata.
type object struct {
	Metadata struct {
		Name              string            `json:"name"`
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
		Labels            map[string]string `json:"labels"`
	} `json:"metadata"`
}

// list is the answer to a list.
type list struct {
	Kind     string `json:"kind"`
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

// event is one event of a watch.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// status is how the API server says no.
type status struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

func (s *status) err() error {
	if s.Code == http.StatusGone || s.Reason == "Expired" || s.Reason == "Gone" {
		return fmt.Errorf("%w: %s", errGone, s.Message)
	}
	return fmt.Errorf("the API server says %d %s: %s", s.Code, s.Reason, s.Message)
}

// refusal reads the body of a response that is not 200.
func refusal(code int, body io.Reader) error {
	s := status{Code: code}
	data, err := io.ReadAll(io.LimitReader(body, maxSmall))
	if err != nil || json.Unmarshal(data, &s) != nil || s.Kind != "Status" {
		s = status{Message: http.StatusText(code)}
	}
	s.Code = code
	return s.err()
}

// readList reads the pods and the version from which a watch goes on.
func readList(body io.Reader) (*list, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxList+1))
	if err != nil {
		return nil, fmt.Errorf("read the list of the pods: %w", err)
	}
	if len(data) > maxList {
		return nil, fmt.Errorf("the list of the pods is larger than %d MiB: does the selector choose more than the database pods?", maxList>>20)
	}
	var l list
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("the list of the pods cannot be understood: %w", err)
	}
	if l.Metadata.ResourceVersion == "" {
		return nil, fmt.Errorf("the list of the pods cannot be understood: a %q without a resourceVersion", l.Kind)
	}
	for i := range l.Items {
		if err := l.Items[i].check(); err != nil {
			return nil, err
		}
	}
	return &l, nil
}

func (o *object) check() error {
	if o.Metadata.Name == "" || o.Metadata.UID == "" {
		return errors.New("the API server told of a pod without a name or a uid")
	}
	return nil
}

// events reads a watch event by event.
type events struct {
	decoder *json.Decoder
	body    *io.LimitedReader // for one event
}

func readEvents(body io.Reader) *events {
	b := &io.LimitedReader{R: body}
	return &events{decoder: json.NewDecoder(b), body: b}
}

// next returns the next event's type and pod; a bookmark's has only a version.
// io.EOF is a watch that ended between two events.
func (e *events) next() (string, *object, error) {
	e.body.N = maxEvent
	var ev event
	if err := e.decoder.Decode(&ev); err != nil {
		switch {
		case e.body.N <= 0:
			err = fmt.Errorf("an event is larger than %d MiB", maxEvent>>20)
		case errors.Is(err, io.EOF):
			return "", nil, io.EOF
		}
		return "", nil, fmt.Errorf("the watch of the pods broke: %w", err)
	}
	switch ev.Type {
	case "ADDED", "MODIFIED", "DELETED", "BOOKMARK":
	case "ERROR":
		var s status
		if err := json.Unmarshal(ev.Object, &s); err != nil {
			return "", nil, fmt.Errorf("an error of the watch cannot be understood: %w", err)
		}
		return "", nil, s.err()
	default:
		return "", nil, fmt.Errorf("the watch of the pods has an event of the unknown type %q", ev.Type)
	}
	var o object
	if err := json.Unmarshal(ev.Object, &o); err != nil {
		return "", nil, fmt.Errorf("a pod of the watch cannot be understood: %w", err)
	}
	if ev.Type != "BOOKMARK" {
		if err := o.check(); err != nil {
			return "", nil, err
		}
	}
	return ev.Type, &o, nil
}
