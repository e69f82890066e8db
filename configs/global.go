package configs

import "strconv"

// Global is what a configuration's global sections say of the process. Zero values stand for what is not said.
type Global struct {
	// MaxConn is how many connections the whole process takes at once.
	MaxConn int
	// User and Group are whom HAProxy becomes after its start, Chroot the directory that it locks itself into.
	User, Group, Chroot string
}

// ReadGlobal reads the files as one configuration, and of it the global sections alone: what is wrong elsewhere is no
// error, a file that cannot be read is. As in HAProxy the last line of a kind counts.
func ReadGlobal(files ...string) (Global, error) {
	inputs, err := readInputs(files)
	if err != nil {
		return Global{}, err
	}
	t, _ := build(inputs, Reading{})
	var g Global
	for _, s := range t.sections {
		if s.kind == "global" {
			g.read(s)
		}
	}
	return g, nil
}

func (g *Global) read(s *section) {
	for _, d := range s.dirs {
		switch d.word(0) {
		case "maxconn":
			if n, err := strconv.Atoi(d.word(1)); err == nil && n > 0 {
				g.MaxConn = n
			}
		case "user":
			g.User = d.word(1)
		case "group":
			g.Group = d.word(1)
		case "chroot":
			g.Chroot = d.word(1)
		}
	}
}
