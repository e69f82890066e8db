package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testArchive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	first, err := fileLayer(filepath.Join(dir, "1.tar"), []File{
		{Path: "/etc", Dir: true}, {Path: "/etc/a", Content: []byte("one"), Mode: 0o644, Owner: 7}, {Path: "/etc/b", Link: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := fileLayer(filepath.Join(dir, "2.tar"), []File{{Path: "/etc/a", Content: []byte("two")}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "image.tar")
	spec := Spec{Tags: []string{"localhost/unit:1", "localhost/unit:2"}, Entrypoint: []string{"/etc/a"}, User: "7:7", StopSignal: "SIGUSR1"}
	if err := writeArchive(out, spec, first, second); err != nil {
		t.Fatal(err)
	}
	return out
}

func readTar(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// Every name in the archive is the hash of what it names: engines refuse it otherwise.
func TestArchiveDigests(t *testing.T) {
	content, err := os.ReadFile(testArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	files := readTar(t, content)
	var manifest []archiveEntry
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest.json: %v, %d images", err, len(manifest))
	}
	entry := manifest[0]
	sum := sha256.Sum256(files[entry.Config])
	if got := hex.EncodeToString(sum[:]) + ".json"; got != entry.Config {
		t.Errorf("the configuration hashes to %s and is named %s", got, entry.Config)
	}
	var c config
	if err := json.Unmarshal(files[entry.Config], &c); err != nil {
		t.Fatal(err)
	}
	if len(entry.Layers) != 2 || len(c.RootFS.DiffIDs) != 2 {
		t.Fatalf("want 2 layers, have %v and %v", entry.Layers, c.RootFS.DiffIDs)
	}
	for i, name := range entry.Layers {
		sum := sha256.Sum256(files[name])
		if want := "sha256:" + hex.EncodeToString(sum[:]); c.RootFS.DiffIDs[i] != want {
			t.Errorf("layer %d hashes to %s and is named %s", i, want, c.RootFS.DiffIDs[i])
		}
	}
	if got := string(readTar(t, files[entry.Layers[1]])["etc/a"]); got != "two" {
		t.Errorf("the second layer has %q", got)
	}
}

// Equal files give equal bytes; a cluster's nodes then keep a layer that they have.
func TestArchiveIsReproducible(t *testing.T) {
	first, err := hashFile(testArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := hashFile(testArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("two archives of the same files differ")
	}
}

// containerd itself takes the archive with both names. It runs from folders of the test.
func TestContainerdImports(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	for _, name := range []string{"containerd", "ctr"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	archive, dir := testArchive(t), t.TempDir()
	socket := filepath.Join(dir, "s")
	config := filepath.Join(dir, "config.toml")
	text := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("containerd", "-c", config, "--root", dir+"/root", "--state", dir+"/state", "--address", socket)
	var said bytes.Buffer
	daemon.Stdout, daemon.Stderr = &said, &said
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	}()
	ctr := func(args ...string) (string, error) {
		out, err := exec.Command("ctr", append([]string{"-a", socket, "-n", "unit"}, args...)...).CombinedOutput()
		return string(out), err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := ctr("version"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			_ = daemon.Process.Kill()
			_ = daemon.Wait()
			t.Fatalf("containerd does not answer: %s", said.String())
		}
	}
	if out, err := ctr("images", "import", "--snapshotter", "native", archive); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := ctr("images", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"localhost/unit:1", "localhost/unit:2"} {
		if !strings.Contains(out, tag) {
			t.Errorf("containerd has no %s, but %q", tag, out)
		}
	}
}
