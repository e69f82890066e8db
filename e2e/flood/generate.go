package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	gossipPort = "7946"
	httpPort   = "9102"
	adminPort  = "9104"
	pagePort   = "9105"
)

// play is what a process does inside a host of the lab: it attacks for so long, or
// asks, and prints what it did.
func play(ctx context.Context, role, to string, long time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	switch role {
	case "garbage":
		return datagrams(ctx, to, garbage)
	case "shaped":
		return datagrams(ctx, to, shaped)
	case "views":
		return datagrams(ctx, to, invented())
	case "streams":
		return streams(ctx, to)
	case "unfinished":
		return unfinished(ctx, to)
	case "metrics":
		return metrics(ctx, to)
	case "pages":
		return pages(ctx, to)
	case "handshakes":
		return handshakes(ctx, to)
	case "ask":
		return ask(ctx, to)
	case "greeting", "result":
		return serveDatabase(ctx, to, role)
	}
	return fmt.Errorf("no role is called %q", role)
}

// datagrams sends what next makes as fast as this machine does.
func datagrams(ctx context.Context, to string, next func(i int, b []byte) []byte) error {
	conn, err := net.Dial("udp", net.JoinHostPort(to, gossipPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	var sent, failed, size int
	began := time.Now()
	buffer := make([]byte, 0, 1500)
	for i := 0; ctx.Err() == nil; i++ {
		buffer = next(i, buffer[:0])
		if n, err := conn.Write(buffer); err != nil {
			failed++
		} else {
			sent++
			size += n
		}
	}
	took := time.Since(began).Seconds()
	fmt.Printf("%.0f datagrams/s of %d B\n", float64(sent)/took, size/max(sent, 1))
	if sent == 0 {
		return fmt.Errorf("nothing could be sent, %d times", failed)
	}
	return nil
}

// garbage is of any length and content.
func garbage(_ int, b []byte) []byte {
	for n := 1 + rand.IntN(1400); len(b) < n; {
		b = binary.LittleEndian.AppendUint64(b, rand.Uint64())
	}
	return b
}

// labelled begins what memberlist sends under the label of an installation.
func labelled(b []byte) []byte {
	const label = "haproxyd"
	return append(append(b, 244, byte(len(label))), label...)
}

// shaped has the label, the version and the nonce of an encrypted packet; only who
// has the key sees that the rest is noise.
func shaped(_ int, b []byte) []byte {
	b = append(labelled(b), 1)
	for range 30 {
		b = binary.LittleEndian.AppendUint64(b, rand.Uint64())
	}
	return b
}

// invented are the views of members that there are not, each of another name. Their
// data is a megabyte, packed.
func invented() func(i int, b []byte) []byte {
	var packed bytes.Buffer
	packed.WriteByte(1)
	z, _ := flate.NewWriter(&packed, flate.BestCompression) // the level is valid
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	data := packed.Bytes()
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	return func(i int, b []byte) []byte {
		b = append(labelled(b), 8, 'h', 1, 2) // a user's message, format 1, a view
		b = binary.BigEndian.AppendUint64(b, 0)
		name := fmt.Sprintf("px%d", i)
		b = text(b, name)
		b = text(b, fmt.Sprintf("%s-%08x", name, uint32(i))) //nolint:gosec // any digits do
		b = binary.BigEndian.AppendUint64(b, uint64(i))      //nolint:gosec // any disk does
		b = append(b, 1, 1)                                  // its first publication
		b = binary.BigEndian.AppendUint64(b, 0)
		b = append(b, 3, 0, 1, 1) // a voter that hears a majority
		b = binary.AppendUvarint(b, uint64(len(data)))
		return append(b, data...)
	}
}

// again is the pause before a connection is made anew: without one, this generator
// would measure how many connections a second two processors can make.
const again = time.Second

// holding keeps so many connections open until ctx is done, each with what begin
// sends on it, and makes those anew that the other side ends.
func holding(ctx context.Context, address string, number int, begin func(i int) []byte) (made, refused, most int64) {
	var open, top, all, no atomic.Int64
	var wg sync.WaitGroup
	for i := range number {
		wg.Go(func() {
			// Spread over a second, or the kernel's queues refuse most of them by themselves.
			sleep(ctx, time.Duration(i)*again/time.Duration(number))
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
				if ctx.Err() != nil {
					if err == nil {
						_ = conn.Close()
					}
					return
				}
				if err != nil {
					no.Add(1)
					sleep(ctx, again)
					continue
				}
				all.Add(1)
				n := open.Add(1)
				for t := top.Load(); n > t && !top.CompareAndSwap(t, n); t = top.Load() {
				}
				_, _ = conn.Write(begin(i))
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				_, _ = io.Copy(io.Discard, conn) // until the other side ends it
				stop()
				_ = conn.Close()
				open.Add(-1)
				sleep(ctx, again)
			}
		})
	}
	wg.Wait()
	return all.Load(), no.Load(), top.Load()
}

// streams begins messages between members and never ends them.
func streams(ctx context.Context, to string) error {
	began := time.Now()
	half := [][]byte{
		nil,
		labelled(nil)[:5],
		labelled(nil),
		append(labelled(nil), 6), // a push/pull, and nothing of it
		append(labelled(nil), 10, 0x00, 0x0f, 0xff, 0xff, 1, 2, 3), // an encrypted megabyte of which three bytes come
		append(labelled(nil), append([]byte{10, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 60<<10)...)...),
		append(labelled(nil), append([]byte{9, 0x82, 0xa4}, "Algo"...)...), // something compressed
	}
	made, refused, most := holding(ctx, net.JoinHostPort(to, gossipPort), 500, func(i int) []byte { return half[i%len(half)] })
	fmt.Printf("%d streams at once, %.0f/s made, %d refused\n", most, float64(made)/time.Since(began).Seconds(), refused)
	return nil
}

// unfinished begins requests and never ends them.
func unfinished(ctx context.Context, to string) error {
	began := time.Now()
	half := []string{
		"", "G", "GET /beacon HTTP/1.1\r\n", "GET /metrics HTTP/1.1\r\nHost: a\r\nX-A: ",
		"GET /active HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
		"POST /beacon HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
	}
	made, refused, most := holding(ctx, net.JoinHostPort(to, httpPort), 5000, func(i int) []byte { return []byte(half[i%len(half)]) })
	fmt.Printf("%d connections at once, %.0f/s made, %d refused\n", most, float64(made)/time.Since(began).Seconds(), refused)
	return nil
}

// pages looks at the page, with far more browsers than are kept fresh, and asks for the whole of it in between.
func pages(ctx context.Context, to string) error {
	began := time.Now()
	asks := []string{"/live", "/", "/v1/overview", "/live"}
	made, refused, most := holding(ctx, net.JoinHostPort(to, pagePort), 2000, func(i int) []byte {
		return []byte("GET " + asks[i%len(asks)] + " HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
	})
	fmt.Printf("%d connections at once, %.0f/s made, %d refused\n", most, float64(made)/time.Since(began).Seconds(), refused)
	return nil
}

// handshakes begins TLS where a certificate is wanted, without one, as often as this machine does.
func handshakes(ctx context.Context, to string) error {
	began := time.Now()
	var made, answered atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			d := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a stranger does not mind
			for ctx.Err() == nil {
				made.Add(1)
				c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(to, adminPort))
				if err != nil {
					continue
				}
				answered.Add(1)
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	fmt.Printf("%.0f/s begun, %.0f/s answered\n", float64(made.Load())/took, float64(answered.Load())/took)
	return nil
}

// metrics asks for them a thousand times a second.
func metrics(ctx context.Context, to string) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var ok, refused, failed atomic.Int64
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var wg sync.WaitGroup
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			for range 10 {
				wg.Go(func() {
					resp, err := client.Get("http://" + net.JoinHostPort(to, httpPort) + "/metrics")
					if err != nil {
						failed.Add(1)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						ok.Add(1)
					} else {
						refused.Add(1)
					}
				})
			}
		}
	}
	took := time.Since(began).Seconds()
	wg.Wait()
	fmt.Printf("%.0f/s (%d answered, %d refused, %d failed)\n", float64(ok.Load()+refused.Load()+failed.Load())/took, ok.Load(), refused.Load(), failed.Load())
	return nil
}

// ask asks for /beacon and /healthz in turns as a health check does, twenty times a
// second, and prints how long the answers took.
func ask(ctx context.Context, to string) error {
	const every, within = 50 * time.Millisecond, 2 * time.Second
	var l latencies
	var took []time.Duration
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		path := []string{"/beacon", "/healthz"}[l.Asked%2]
		l.Asked++
		began := time.Now()
		if err := once(net.JoinHostPort(to, httpPort), path, within); err != nil {
			l.Failed++
			if l.First == "" {
				l.First = path + ": " + err.Error()
			}
		}
		took = append(took, time.Since(began))
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	slices.Sort(took)
	l.Median, l.Max = took[len(took)/2], took[len(took)-1]
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}

// once asks over a connection of its own; 200 and 503 are answers.
func once(address, path string, within time.Duration) error {
	conn, err := net.DialTimeout("tcp", address, within)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(within))
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	for _, code := range []string{"200", "503"} {
		if bytes.HasPrefix(answer, []byte("HTTP/1.0 "+code)) || bytes.HasPrefix(answer, []byte("HTTP/1.1 "+code)) {
			return nil
		}
	}
	if len(answer) == 0 {
		return errors.New("closed without an answer")
	}
	return fmt.Errorf("%.20q", answer)
}
