package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// webhookWithin is how long a request may take, connecting included.
const webhookWithin = 5 * time.Second

// Webhook posts each event as a CloudEvent.
type Webhook struct {
	url    string
	client *http.Client
}

// NewWebhook takes the URL that events are posted to.
func NewWebhook(text string) (*Webhook, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The URL may be a secret, and is not repeated.
		return nil, errors.New("webhook: give a URL that begins with http:// or https://")
	}
	return &Webhook{url: text, client: &http.Client{
		Timeout: webhookWithin,
		// A redirect would send the event to somebody whom nobody has named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name implements Receiver.
func (w *Webhook) Name() string { return "webhook" }

// never are the statuses that say of this very event that it will not be taken. Of the others an administrator may mend the cause.
var never = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}

// Tell posts the event. Every status from 200 to 299 is a yes.
func (w *Webhook) Tell(ctx context.Context, e *Event) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(e.json()))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "haproxyd")
	resp, err := w.client.Do(req)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the URL
		}
		return err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case slices.Contains(never, s):
		return fmt.Errorf("%w: %s", errRefused, resp.Status)
	default:
		return errors.New(resp.Status)
	}
}
