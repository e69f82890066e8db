package plan

// ReaderBackend is a backend that spreads connections over the nodes.
type ReaderBackend struct {
	Name    string
	Servers []string
}

// ReaderNow is a server of a reader backend.
type ReaderNow struct {
	// Running: load balancing uses it. Drained: it is up and drains. Neither: down,
	// or in maintenance.
	Running, Drained bool
	// Ours: this daemon has drained it, by its own record.
	Ours bool
}

// Readers returns what takes the active out of the reader backends and puts the
// former one back. A server that somebody else drains or has in maintenance is
// left alone; and no backend is left without a server that balancing uses, so
// what comes back comes first, and an active that alone is left stays, or
// returns.
func Readers(backends []ReaderBackend, now map[string]map[string]ReaderNow, active string) []Action {
	var out []Action
	for _, b := range backends {
		others := 0
		var drain *Action
		for _, name := range b.Servers {
			s := now[b.Name][name]
			switch {
			case name == active && s.Running:
				drain = &Action{Op: OpDrain, Backend: b.Name, Server: name, Why: name + " is the active and not for readers"}
			case name == active:
			case s.Running:
				others++
			case s.Drained && s.Ours:
				others++
				out = append(out, Action{Op: OpReady, Backend: b.Name, Server: name, Why: name + " is not the active any more"})
			}
		}
		a := now[b.Name][active]
		switch {
		case drain != nil && others > 0:
			out = append(out, *drain)
		case a.Drained && a.Ours && others == 0:
			out = append(out, Action{Op: OpReady, Backend: b.Name, Server: active, Why: "no other server is left for readers"})
		}
	}
	return out
}
