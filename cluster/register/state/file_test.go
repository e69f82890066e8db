package state

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	im := Image{Name: "px0", Disk: 7, Seen: map[uint64]uint64{}}
	if err := d.Write(im.Encode(), false); err != nil {
		t.Fatal(err)
	}
	if body, lost, err := d.Load("px0"); body == nil || lost != "" || err != nil {
		t.Errorf("just written: lost %q, %v", lost, err)
	}
	good, err := os.ReadFile(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	// Overwritten in place by a copy of the one before: same inode, same bytes
	// as a valid file, but not the file that they were written into.
	if err := d.Write(im.Encode(), false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Path(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if body, lost, err := d.Load("px0"); body != nil || !strings.Contains(lost, "copy") || err != nil {
		t.Errorf("a copy: lost %q, %v", lost, err)
	}
	for n := range good {
		if err := os.WriteFile(d.Path(), good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if body, lost, err := d.Load("px0"); body != nil || lost == "" || err != nil {
			t.Fatalf("cut to %d bytes: lost %q, %v", n, lost, err)
		}
	}
	if kept, _ := filepath.Glob(d.Path() + LostInfix + "*"); len(kept) != keptLost {
		t.Errorf("%d damaged files were kept, want %d", len(kept), keptLost)
	}
	if err := d.Write(im.Encode(), false); err != nil {
		t.Fatal(err)
	}
	if _, lost, _ := d.Load("px9"); !strings.Contains(lost, "px0") {
		t.Errorf("another member's file: lost %q", lost)
	}
	newer := append([]byte(nil), good...)
	newer[len(fileMagic)] = fileFormat + 1
	newer = resealed(newer)
	if err := os.WriteFile(d.Path(), newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Load("px0"); !errors.Is(err, errNewerFile) {
		t.Errorf("a newer file: %v", err)
	}
	if _, err := os.Stat(d.Path()); err != nil {
		t.Errorf("a newer file must stay where it is: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(im.Encode(), false); err == nil {
		t.Error("no error without a directory")
	}
}

// The last file that held a cluster, and the last one that held a decision, stay
// however often the disk is given up, and whatever the clock says.
func TestTheLastCopyIsNeverPruned(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// What an older version has set aside, with a clock that was far ahead.
	for i := range 5 {
		name := fmt.Sprintf("%s%s209901%02dT000000.000000000", d.Path(), LostInfix, i+1)
		if err := os.WriteFile(name, []byte("older"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	im := func(cluster, revision uint64) []byte {
		i := Image{Name: "px0", Disk: 7 + revision, Cluster: cluster, Seen: map[uint64]uint64{}}
		if cluster != 0 {
			i.Log = Genesis(&pb.ConfState{Voters: []uint64{i.Disk}})
			i.Machine = Machine{Names: map[uint64]string{i.Disk: "px0"}, Record: Record{Version: Version{Revision: revision}, Value: []byte("pxc-2")}}
		}
		return i.Encode()
	}
	bodies := [][]byte{im(1, 3), im(1, 4), im(2, 0)}
	for range 6 {
		bodies = append(bodies, im(0, 0))
	}
	for _, b := range bodies {
		if err := d.Write(b, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.setAside(); err != nil {
		t.Fatal(err)
	}
	left, err := d.asides()
	if err != nil {
		t.Fatal(err)
	}
	var held []string
	for _, a := range left {
		if i := a.image(); i != nil {
			held = append(held, fmt.Sprintf("%d/%d", i.Cluster, i.Machine.Record.Revision))
		}
	}
	if want := []string{"1/4", "2/0", "0/0", "0/0", "0/0"}; !slices.Equal(held, want) {
		t.Errorf("left are %v, want %v", held, want)
	}
	if old, _ := filepath.Glob(d.Path() + LostInfix + "2099*"); len(old) > 0 {
		t.Errorf("dated ones are older than numbered ones: %v are left", old)
	}
}

// What is read after a write error may be in a cache alone, so it is written again.
func TestProbeWritesWhatItHasRead(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	im := Image{Name: "px0", Disk: 7}
	if err := d.Write(im.Encode(), false); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	if body, lost, err := d.Probe("px0"); body == nil || lost != "" || err != nil {
		t.Fatalf("%x, %q, %v", body, lost, err)
	}
	if after, err := os.Stat(d.Path()); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was not written again (%v)", err)
	}
}

// What ties a state file to its inode: another one means a copy, and where either
// is not known nothing is concluded.
func TestOpenFileTellsCopies(t *testing.T) {
	for _, c := range []struct {
		written, found uint64
		copied         bool
	}{{5, 5, false}, {5, 6, true}, {0, 6, false}, {5, 0, false}, {0, 0, false}} {
		if _, err := Unseal(Seal([]byte("body"), c.written), c.found); (err != nil) != c.copied {
			t.Errorf("written into %d, found in %d: %v", c.written, c.found, err)
		}
	}
	damaged := Seal([]byte("body"), 5)
	damaged[len(damaged)-1] ^= 1
	if _, err := Unseal(damaged, 5); err == nil {
		t.Error("a damaged file was taken")
	}
}

// resealed makes the checksum of a changed state file right.
func resealed(file []byte) []byte {
	body := file[:len(file)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// What was set aside is found whatever the folder is called: else the next one takes its name.
func TestAsideInAFolderOfAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data[1]*?")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(d.Path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.setAside(); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"one", "two"} {
		if got, err := os.ReadFile(fmt.Sprintf("%s%s%08d", d.Path(), LostInfix, i+1)); string(got) != want {
			t.Errorf("kept %q, %v", got, err)
		}
	}
}
