package state

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// setAside renames the state file, so that what was on a disk that is given up
// can be looked at, and may be the last copy of the record. The names are
// numbered: a clock that was set back must not make the newest one look oldest.
func (d *File) setAside() error {
	old, err := d.asides()
	if err != nil {
		return err
	}
	next := uint64(1)
	for _, a := range old {
		next = max(next, a.number+1)
	}
	to := fmt.Sprintf("%s%s%08d", d.Path(), LostInfix, next)
	if err := os.Rename(d.Path(), to); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else {
		old = append(old, aside{to, next})
	}
	if err := prune(old); err != nil {
		return err
	}
	return d.syncDir()
}

// aside is a state file that was set aside. number is 0 for one that an older
// version has named by date: it is older than any with a number.
type aside struct {
	path   string
	number uint64
}

// asides lists them, oldest first.
func (d *File) asides() ([]aside, error) {
	folder, name := filepath.Split(d.Path())
	entries, err := os.ReadDir(filepath.Clean(folder))
	if err != nil {
		return nil, err
	}
	var found []aside
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), name+LostInfix)
		if !ours {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			n = 0 // a date
		}
		found = append(found, aside{folder + e.Name(), n})
	}
	slices.SortFunc(found, func(a, b aside) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.path, b.path))
	})
	return found, nil
}

// prune removes what was set aside but for the last few, the last one that held
// a cluster and the last one that held a decision of one, however often this
// disk was given up since.
func prune(old []aside) error {
	cluster, record := false, false
	for i, a := range slices.Backward(old) {
		im := a.image()
		last := im != nil && im.Cluster != 0 && (!cluster || !record && im.Machine.Record.Revision > 0)
		if last {
			cluster, record = true, im.Machine.Record.Revision > 0
		}
		if last || i >= len(old)-keptLost {
			continue
		}
		if err := os.Remove(a.path); err != nil {
			return err
		}
	}
	return nil
}

// image is what a file that was set aside holds, nil if it cannot be read.
func (a aside) image() *Image {
	data, err := os.ReadFile(a.path)
	if err != nil {
		return nil
	}
	// Whether it is a copy of another file does not matter here.
	if _, im, err := unsealImage(data, 0); err == nil {
		return im
	}
	return nil
}
