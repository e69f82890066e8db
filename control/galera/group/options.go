package group

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Options are those of wsrep_provider_options that matter here. Zero durations are not known.
type Options struct {
	// Weight is pc.weight, which counts in a quorum; -1 if not known.
	Weight int
	// Suspect, Check and Retrans are evs.suspect_timeout, evs.inactive_check_period and evs.join_retrans_period.
	Suspect, Check, Retrans time.Duration
	// RetransText is the last of them as the server wrote it, to be put back as it was.
	RetransText string
	// AutoEvict: evs.auto_evict is on, so that Galera itself may put a node on the list.
	AutoEvict bool
	// Listen is gmcast.listen_addr without its scheme: HOST:PORT, the host being that of every address, often.
	Listen string
	// TLS is socket.ssl.
	TLS bool
}

// longestPeriod is beyond every period that a server writes (P1DT2H3M0.123456S); what a server says goes to the other members.
const longestPeriod = 20

// mostOptions is beyond what a server has: Galera 26.4.23 says 3 KiB.
const mostOptions = 32 << 10

// An Assembler puts the options together as they come: one text in pieces, or single variables (MariaDB 11 with the
// provider as a plugin has one for each option).
type Assembler struct {
	text []byte
	one  map[string]string
}

// Piece takes the next piece of @@wsrep_provider_options.
func (a *Assembler) Piece(b []byte) {
	a.text = append(a.text, b[:min(len(b), mostOptions-len(a.text))]...)
}

// Variable takes one variable; others than wsrep_provider_* are left.
func (a *Assembler) Variable(name, value string) {
	if option, ok := strings.CutPrefix(name, "wsrep_provider_"); ok && option != "options" {
		if a.one == nil {
			a.one = map[string]string{}
		}
		a.one[option] = value
	}
}

// Options are what was put together, and whether there was anything: it is nothing on a server without a provider.
func (a *Assembler) Options() (o Options, ok bool) {
	values := a.one
	if values == nil {
		values = map[string]string{}
		for _, part := range strings.Split(string(a.text), ";") {
			if name, value, ok := strings.Cut(part, "="); ok {
				// As the variables are named: the first dot is one, too.
				values[strings.ReplaceAll(strings.TrimSpace(name), ".", "_")] = strings.TrimSpace(value)
			}
		}
	}
	if len(values) == 0 {
		return Options{Weight: -1}, false
	}
	o = Options{
		Weight: -1, Suspect: Period(values["evs_suspect_timeout"]), Check: Period(values["evs_inactive_check_period"]),
		Retrans: Period(values["evs_join_retrans_period"]), RetransText: values["evs_join_retrans_period"],
		AutoEvict: !isOff(values["evs_auto_evict"]), TLS: !isOff(values["socket_ssl"]),
		Listen: values["gmcast_listen_addr"],
	}
	if scheme, rest, ok := strings.Cut(o.Listen, "://"); ok {
		o.Listen = rest
		o.TLS = o.TLS || scheme == "ssl"
	}
	if o.Retrans == 0 || len(o.RetransText) > longestPeriod {
		o.Retrans, o.RetransText = 0, "" // nothing that could be put back
	}
	if n, err := strconv.Atoi(values["pc_weight"]); err == nil && n >= 0 {
		o.Weight = n
	}
	return o, true
}

func isOff(value string) bool {
	switch strings.ToLower(value) {
	case "", "0", "no", "off", "false":
		return true
	}
	return false
}

// Period is one of Galera's: an ISO 8601 duration without years and months (PT1M0.5S, P1DT2H), or seconds as a number, as the
// variables of MariaDB 11 have it. 0 is what cannot be understood.
func Period(s string) time.Duration {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second))
	}
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return 0
	}
	var total float64
	units := map[byte]float64{'D': 86400}
	for rest != "" {
		if rest[0] == 'T' {
			units, rest = map[byte]float64{'H': 3600, 'M': 60, 'S': 1}, rest[1:]
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end < 1 || units[rest[end]] == 0 {
			return 0
		}
		n, err := strconv.ParseFloat(rest[:end], 64)
		if err != nil || n > 1e9 {
			return 0
		}
		total += n * units[rest[end]]
		rest = rest[end+1:]
	}
	if total > 1e9 {
		return 0
	}
	return time.Duration(total * float64(time.Second))
}

// Port is where the group layer listens, for whoever reached the process's SQL port at an address: the same address, unless it
// listens at one alone. It is not valid where that cannot be told.
func (o Options) Port(sql netip.AddrPort) netip.AddrPort {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return netip.AddrPort{}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{} // a name: what it leads to here need not be what it leads to there
	}
	if ip.IsUnspecified() {
		ip = sql.Addr()
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n))
}
