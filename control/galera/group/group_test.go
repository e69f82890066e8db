package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What Galera 26.4.23 said to two connections, wsrep_gcomm_uuid being 2bfc01dd-ecea-11f1-b985-e75f3bc6f0db.
var recorded = []string{
	"240000022a7a9731000110002bfc01ddecea11f1b985e75f3bc6f0db3c6daaa9ecea11f1b16b56b136a4ea7f",
	"240000025e170e96000110002bfc01ddecea11f1b985e75f3bc6f0db3d150af2ecea11f18ac2b2e293de4fa9",
}

func TestHello(t *testing.T) {
	for _, r := range recorded {
		b, err := hex.DecodeString(r)
		if err != nil {
			t.Fatal(err)
		}
		uuid, err := Hello(bytes.NewReader(b))
		if err != nil || uuid != "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db" {
			t.Errorf("%s: %q, %v", r, uuid, err)
		}
		for n := range b {
			if _, err := Hello(bytes.NewReader(b[:n])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		for _, at := range []int{0, 1, 2, helloHeader + 1, helloHeader + 2} {
			wrong := bytes.Clone(b)
			wrong[at] ^= 0x40
			if _, err := Hello(bytes.NewReader(wrong)); !errors.Is(err, ErrNotGroup) {
				t.Errorf("with another byte %d: %v", at, err)
			}
		}
	}
	if _, err := Hello(strings.NewReader("5.5.5-10.11.19-MariaDB and much more than any message has")); !errors.Is(err, ErrNotGroup) {
		t.Errorf("SQL's greeting: %v", err)
	}
}

func TestPeriod(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT5S": 5 * time.Second, "PT0.5S": 500 * time.Millisecond, "PT1M30S": 90 * time.Second, "P1D": 24 * time.Hour, "P1DT2H": 26 * time.Hour,
		"1": time.Second, "0.100000": 100 * time.Millisecond, "0": 0, "PT0S": 0,
		"": 0, "P": 0, "PT": 0, "PT5": 0, "5S": 0, "PTS": 0, "P5S": 0, "P1Y": 0, "PT-5S": 0, "-1": 0, "PT1S;": 0, "1e300": 0, "PT1e9S": 0, "NaN": 0, "PT9999999999S": 0,
	} {
		if got := Period(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// The text is that of MariaDB 10.11.19 with Galera 26.4.23, without what is not read.
const optionText = "base_host = 10.99.0.11; base_port = 4567; evs.auto_evict = 0; evs.inactive_check_period = PT0.5S; evs.inactive_timeout = PT15S; " +
	"evs.join_retrans_period = PT1S; evs.suspect_timeout = PT5S; gmcast.listen_addr = tcp://0.0.0.0:4567; pc.weight = 1; socket.checksum = 2; "

func TestOptions(t *testing.T) {
	var a Assembler
	for _, piece := range strings.SplitAfter(optionText, "e") {
		a.Piece([]byte(piece))
	}
	o, ok := a.Options()
	want := Options{
		Weight: 1, Suspect: 5 * time.Second, Check: 500 * time.Millisecond, Retrans: time.Second, RetransText: "PT1S", Listen: "0.0.0.0:4567",
	}
	if !ok || o != want {
		t.Errorf("%+v, want %+v", o, want)
	}

	var single Assembler
	single.Piece([]byte(optionText)) // the variables go before it
	single.Variable("wsrep_provider_evs_join_retrans_period", "0.1")
	single.Variable("wsrep_provider_pc_weight", "2")
	single.Variable("wsrep_provider_options", "pc.weight = 7")
	single.Variable("wsrep_provider_socket_ssl", "ON")
	single.Variable("wsrep_provider_evs_auto_evict", "1")
	if o, _ := single.Options(); o.Weight != 2 || o.Retrans != 100*time.Millisecond || o.RetransText != "0.1" || !o.TLS || !o.AutoEvict {
		t.Errorf("of single variables: %+v", o)
	}
	for _, period := range []string{"", "soon", "PT1S" + strings.Repeat(" ", 1<<10), "1" + strings.Repeat("0", 1<<10), "PT0." + strings.Repeat("1", 1<<10) + "S"} {
		var long Assembler
		long.Variable("wsrep_provider_evs_join_retrans_period", period)
		if o, _ := long.Options(); o.RetransText != "" || o.Retrans != 0 {
			t.Errorf("a period of %d bytes is kept: %v", len(period), o.Retrans)
		}
	}
	var none Assembler
	if o, ok := none.Options(); ok || o.Weight != -1 {
		t.Errorf("of a server without a provider: %+v, %v", o, ok)
	}
	var endless Assembler
	for range 1000 {
		endless.Piece([]byte(optionText))
	}
	if len(endless.text) > mostOptions {
		t.Errorf("%d bytes are kept", len(endless.text))
	}
}

func TestPort(t *testing.T) {
	sql := netip.MustParseAddrPort("10.0.0.1:3306")
	for listen, want := range map[string]string{
		"0.0.0.0:4567": "10.0.0.1:4567", "[::]:4567": "10.0.0.1:4567", "192.168.1.1:5555": "192.168.1.1:5555", "0.0.0.0:0": "", "db:4567": "", "": "", "0.0.0.0:x": "",
	} {
		got := ""
		if at := (Options{Listen: listen}).Port(sql); at.IsValid() {
			got = at.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", listen, got, want)
		}
	}
}

// Each row begins with a process that was met at both ports; the steps follow.
func TestEnd(t *testing.T) {
	sql, port, other := netip.MustParseAddrPort("10.0.0.1:3306"), netip.MustParseAddrPort("10.0.0.1:4567"), netip.MustParseAddrPort("10.0.0.9:3306")
	const uuid = "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db"
	met := Sight{}.Read(uuid, sql).Listens(port).Knocked(port, Spoke, uuid)
	type step = func(Sight) Sight
	lost := Sight.Lost
	tried := func(a Answer) step { return func(s Sight) Sight { return s.Tried(sql, a) } }
	knocked := func(a Answer) step { return func(s Sight) Sight { return s.Knocked(port, a, uuid) } }
	for name, c := range map[string]struct {
		steps []step
		want  End
	}{
		"nothing":                               {nil, ""},
		"killed":                                {[]step{lost, tried(Refused), knocked(Refused)}, Gone},
		"the other order":                       {[]step{lost, knocked(Refused), tried(Refused)}, Gone},
		"SQL alone refuses (it shuts down)":     {[]step{lost, tried(Refused), knocked(Spoke)}, ""},
		"the group port alone refuses":          {[]step{lost, tried(Spoke), knocked(Refused)}, ""},
		"no open connection was lost":           {[]step{tried(Refused), knocked(Refused)}, ""},
		"the group port is not known to refuse": {[]step{lost, tried(Refused)}, ""},
		"SQL is silent, the group refuses":      {[]step{lost, tried(Silent), knocked(Refused)}, ""},
		"stopped":                               {[]step{tried(Silent), knocked(Silent)}, Quiet},
		"lost and silent: the host":             {[]step{lost, tried(Silent), knocked(Silent)}, Quiet},
		"silent on SQL only":                    {[]step{tried(Silent), knocked(Spoke)}, ""},
		"it came back":                          {[]step{tried(Silent), knocked(Silent), tried(Spoke)}, ""},
		"killed, and somebody speaks again":     {[]step{lost, tried(Refused), knocked(Refused), knocked(Spoke)}, ""},
		"killed, and its successor is read":     {[]step{lost, tried(Refused), knocked(Refused), func(s Sight) Sight { return s.Read("another", sql) }}, ""},
		"this machine cannot tell any more":     {[]step{lost, tried(Refused), knocked(Refused), tried(Nothing)}, ""},
		"refused at another address":            {[]step{lost, func(s Sight) Sight { return s.Tried(other, Refused) }, knocked(Refused)}, ""},
		"the group port refuses at another":     {[]step{lost, tried(Refused), func(s Sight) Sight { return s.Knocked(other, Refused, "") }}, ""},
		"it listens elsewhere now":              {[]step{lost, tried(Refused), func(s Sight) Sight { return s.Listens(other) }, knocked(Refused)}, ""},
	} {
		s := met
		for _, f := range c.steps {
			s = f(s)
		}
		if got := s.End(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	for name, s := range map[string]Sight{
		"never met at the group port":    Sight{}.Read(uuid, sql).Listens(port),
		"another process answered there": Sight{}.Read(uuid, sql).Listens(port).Knocked(port, Spoke, "another"),
		"its UUID was never read":        Sight{}.Read("", sql).Listens(port).Knocked(port, Spoke, ""),
	} {
		if got := s.Lost().Tried(sql, Refused).Knocked(port, Refused, "").End(); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	tls := Sight{}.Read(uuid, sql).Listens(port).Knocked(port, Spoke, "")
	if got := tls.Lost().Tried(sql, Refused).Knocked(port, Refused, "").End(); got != Gone {
		t.Errorf("with TLS: %q", got)
	}
	for name, c := range map[string]struct {
		s    Sight
		want bool
	}{
		"well": {met, false}, "late": {met.Slow(), true}, "lost": {met.Lost(), true}, "late no more": {met.Slow().Read(uuid, sql), false}, "never read": {Sight{}.Slow(), false},
	} {
		if got := c.s.Suspect(); got != c.want {
			t.Errorf("%s: suspect %v", name, got)
		}
	}
}
