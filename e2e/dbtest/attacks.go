package dbtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Pour writes without end what one packet that is repeated makes.
func (f *Fake) Pour(packet []byte) {
	many := bytes.Repeat(packet, max(1, 16<<10/len(packet)))
	for {
		if _, err := f.Write(many); err != nil {
			return
		}
	}
}

// flood writes numbered packets without end.
func (f *Fake) flood(body string) {
	packets := make([]byte, 0, 256*(len(body)+4))
	for range 256 {
		packets = append(packets, Packet(f.Seq, []byte(body))...)
		f.Seq++
	}
	f.Pour(packets)
}

func (f *Fake) raw(s string) { _, _ = f.Write([]byte(s)) }

// Wait keeps the connection until the other side ends it.
func (f *Fake) Wait() { _, _ = f.Read(make([]byte, 1)) }

// trickle writes a byte every now and then, for longer than any deadline.
func (f *Fake) trickle(s string) {
	for {
		for i := range len(s) {
			if _, err := f.Write([]byte{s[i]}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// Answers are what may come in the place of an answer to a query.
var Answers = map[string]func(*Fake){
	"2^40 columns": func(f *Fake) {
		f.Say("\xfe"+string(binary.LittleEndian.AppendUint64(nil, 1<<40))+"\x01", Column)
		f.Wait()
	},
	"2^30 columns and definitions": func(f *Fake) {
		f.Say("\xfe" + string(binary.LittleEndian.AppendUint64(nil, 1<<30)))
		f.flood(Column)
	},
	"2^63 columns":          func(f *Fake) { f.Say("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"); f.Wait() },
	"a cut number":          func(f *Fake) { f.Say("\xfe\xff"); f.Wait() },
	"0 columns":             func(f *Fake) { f.Say("\xfb"); f.Wait() },
	"a local file":          func(f *Fake) { f.Say("\xfb/etc/passwd"); f.Wait() },
	"a packet of 16 MB":     func(f *Fake) { f.raw("\xfe\xff\xff\x01"); f.Pour([]byte("x")) },
	"chained packets":       func(f *Fake) { f.raw("\xff\xff\xff\x01"); f.Pour([]byte("x")) },
	"an error of 16 MB":     func(f *Fake) { f.raw("\xfe\xff\xff\x01\xff\x10\x04#HY000"); f.Pour([]byte("x")) },
	"a definition of 16 MB": func(f *Fake) { f.Say("\x02"); f.raw("\xfe\xff\xff\x02"); f.Pour([]byte("x")) },
	"empty packets":         func(f *Fake) { f.Pour([]byte("\x00\x00\x00\x01")) },
	"OK without end":        func(f *Fake) { f.flood(OKMore) },
	"tables without end": func(f *Fake) {
		for range 1000 {
			f.Table(More, 2, Row("wsrep_ready", "ON"))
		}
		f.Wait()
	},
	"rows without end": func(f *Fake) {
		f.Say("\x06", Column, Column, Column, Column, Column, Column)
		f.crowd()
	},
	"rows of two without end": func(f *Fake) {
		f.Say("\x02", Column, Column)
		f.flood(Row("wsrep_cluster_status", strings.Repeat("x", 200)))
	},
	"a row of 16 MB": func(f *Fake) { f.Say("\x02", Column, Column); f.raw("\xfe\xff\xff\x04"); f.Pour([]byte("x")) },
	"a string of 2^62": func(f *Fake) {
		f.Say("\x02", Column, Column, "\x01a\xfe\xff\xff\xff\xff\xff\xff\xff\x3f")
		f.Wait()
	},
	"a string of 2^64": func(f *Fake) {
		f.Say("\x02", Column, Column, "\x01a\xfe\xff\xff\xff\xff\xff\xff\xff\xff")
		f.Wait()
	},
	"a short OK":        func(f *Fake) { f.Say("\x00"); f.Wait() },
	"a short error":     func(f *Fake) { f.Say("\xff"); f.Wait() },
	"a short SQL state": func(f *Fake) { f.Say("\xff\x10\x04#1"); f.Wait() },
	"a short end":       func(f *Fake) { f.Say("\x02", Column, Column, "\xfe"); f.Wait() },
	"silence":           func(f *Fake) { f.Wait() },
	"a trickle":         func(f *Fake) { f.trickle("\x01\x00\x00\x01\x02") },
	"a trickle of one row": func(f *Fake) {
		f.Say("\x02", Column, Column)
		f.trickle("\xf0\x00\x00\x04" + strings.Repeat("\x10", 240))
	},
	"the end": func(*Fake) {},
}

// crowd is a process list without end, of ids that are all different.
func (f *Fake) crowd() {
	packets := make([]byte, 0, 64<<10)
	for id := 1; ; id++ {
		body := Row(fmt.Sprintf("%012d", id), "app", fmt.Sprintf("10.0.%d.%d:%d", id>>16, id>>8&255, 40000+id&255), "Sleep", "1.5", "7")
		packets = append(packets, Packet(f.Seq, []byte(body))...)
		if f.Seq++; len(packets) > 60<<10 {
			if _, err := f.Write(packets); err != nil {
				return
			}
			packets = packets[:0]
		}
	}
}

// Logins are what may come before any query, after the greeting or in its place.
var Logins = map[string]func(*Fake){
	"a greeting of 16 MB": func(f *Fake) { f.raw("\xfe\xff\xff\x00\x0a"); f.Pour([]byte("x")) },
	"a greeting's trickle": func(f *Fake) {
		f.trickle(string(Packet(0, Greeting(false))) + strings.Repeat("x", 1000))
	},
	"a short error":          func(f *Fake) { f.Say("\xff\x10\x04#1"); f.Wait() },
	"an OK of one byte":      afterGreeting("\x00"),
	"an error of two":        afterGreeting("\xff\x10"),
	"an error's state":       afterGreeting("\xff\x15\x04#28"),
	"a switch to nothing":    afterGreeting("\xfe\x00"),
	"a switch without salt":  afterGreeting("\xfemysql_native_password\x00"),
	"a short salt":           afterGreeting("\xfemysql_native_password\x00abc\x00"),
	"caching_sha2, no salt":  afterGreeting("\xfecaching_sha2_password\x00", "\x01\x04"),
	"sha256, no salt":        afterGreeting("\xfesha256_password\x00", "\x01\x04"),
	"the password as it is":  afterGreeting("\xfemysql_clear_password\x00"),
	"ed25519, no salt":       afterGreeting("\xfeclient_ed25519\x00abc"),
	"the oldest password":    afterGreeting("\xfe"),
	"more without a word":    afterGreeting("\x01"),
	"a key of another kind":  afterGreeting("\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00", "\x01\x04", "\x01"+otherKey()),
	"a key that is none":     afterGreeting("\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00", "\x01\x04", "\x01-----BEGIN"),
	"a file of the client's": afterGreeting("\xfb/etc/passwd"),
	"a packet of 16 MB": func(f *Fake) {
		f.Say(string(Greeting(false)))
		_, _ = f.Hear()
		f.raw("\xfe\xff\xff\x02\xfe")
		f.Pour([]byte("x"))
	},
	"switches without end": func(f *Fake) {
		f.Say(string(Greeting(false)))
		_, _ = f.Hear()
		f.flood("\xfemysql_native_password\x00abcdefghijklmnopqrst\x00")
	},
	"more without end": func(f *Fake) {
		f.Say(string(Greeting(false)))
		_, _ = f.Hear()
		f.flood("\x01\x03")
	},
	"a handshake without end": func(f *Fake) {
		f.Say(string(Greeting(true)))
		_, _ = f.Hear()
		f.Pour([]byte("\x16\x03\x03\x40\x00" + strings.Repeat("\x02\xff\xff\xff", 4<<10)))
	},
	"a handshake's trickle": func(f *Fake) {
		f.Say(string(Greeting(true)))
		_, _ = f.Hear()
		f.trickle("\x16\x03\x03\x40\x00\x02\x00\x3f\xff")
	},
	"a chain of 4 MB": func(f *Fake) {
		f.Say(string(Greeting(true)))
		if said, err := f.Hear(); err == nil && len(said) == SSLRequest {
			_ = tls.Server(f.Conn, longChain).Handshake()
		}
	},
}

// afterGreeting says packets after the login that follows a greeting, each in turn with the client.
func afterGreeting(bodies ...string) func(*Fake) {
	return func(f *Fake) {
		f.Say(string(Greeting(false)))
		for _, body := range bodies {
			if _, err := f.Hear(); err != nil {
				return
			}
			f.Say(body)
		}
		_, _ = f.Hear()
	}
}

// otherKey is a public key that is not RSA's.
func otherKey() string {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// longChain is a certificate that is sent a thousand times.
var longChain = func() *tls.Config {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{strings.Repeat("x", 4<<10)}}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	pair := tls.Certificate{PrivateKey: key}
	for range 1000 {
		pair.Certificate = append(pair.Certificate, der)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}()
