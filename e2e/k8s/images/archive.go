package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"time"
)

// searchPath is the PATH of every image.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// File is one entry of a layer. Exactly one of Source (a file of this machine), Content, Link (a symbolic link's
// target) and Dir is set.
type File struct {
	Path    string
	Source  string
	Content []byte
	Link    string
	Dir     bool
	Mode    int64 // 0755 when 0
	Owner   int   // user and group
}

// layer is an uncompressed tar: its file, and its SHA-256, which is its name in the archive too.
type layer struct {
	path, digest string
}

// Spec is an image but for its layers.
type Spec struct {
	// Tags are the names it gets, such as localhost/pause:1.
	Tags       []string
	Entrypoint []string
	User       string
	Env        []string
	// StopSignal is what a container gets at its end; "" is SIGTERM.
	StopSignal string
}

// fileLayer writes files as a layer to out. The order and the zero time make equal files equal bytes.
func fileLayer(out string, files []File) (layer, error) {
	return writeLayer(out, func(w *tar.Writer) error {
		for _, file := range files {
			if err := addFile(w, file); err != nil {
				return fmt.Errorf("%s: %w", file.Path, err)
			}
		}
		return nil
	})
}

func addFile(w *tar.Writer, file File) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(file.Path, "/"), Mode: file.Mode, Uid: file.Owner, Gid: file.Owner,
		Typeflag: tar.TypeReg, Size: int64(len(file.Content)), ModTime: time.Unix(0, 0), Format: tar.FormatGNU,
	}
	if header.Mode == 0 {
		header.Mode = 0o755
	}
	var content io.Reader = bytes.NewReader(file.Content)
	switch {
	case file.Dir:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
	case file.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, file.Link, 0o777
	case file.Source != "":
		source, err := os.Open(file.Source)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		header.Size, content = info.Size(), source
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}

func writeLayer(out string, fill func(*tar.Writer) error) (l layer, err error) {
	file, err := os.Create(out)
	if err != nil {
		return layer{}, err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	sum := sha256.New()
	w := tar.NewWriter(io.MultiWriter(file, sum))
	if err := fill(w); err != nil {
		return layer{}, err
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	return layer{path: out, digest: hex.EncodeToString(sum.Sum(nil))}, nil
}

// filterLayer copies a tar as a layer without the paths (and what is below them) that drop names.
func filterLayer(out string, source io.Reader, drop []string) (layer, error) {
	return writeLayer(out, func(w *tar.Writer) error {
		r := tar.NewReader(source)
		for {
			header, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if below(path.Clean("/"+header.Name), drop) {
				continue
			}
			if err := w.WriteHeader(header); err != nil {
				return fmt.Errorf("%s: %w", header.Name, err)
			}
			if _, err := io.Copy(w, r); err != nil {
				return fmt.Errorf("%s: %w", header.Name, err)
			}
		}
	})
}

func below(name string, dirs []string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// config is an image's configuration (OCI image-spec, config.md).
type config struct {
	Architecture string         `json:"architecture"`
	OS           string         `json:"os"`
	Config       configRun      `json:"config"`
	RootFS       configRoot     `json:"rootfs"`
	History      []configOrigin `json:"history"`
}

type configRun struct {
	Env        []string `json:"Env"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	User       string   `json:"User,omitempty"`
	StopSignal string   `json:"StopSignal,omitempty"`
}

type configRoot struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type configOrigin struct {
	CreatedBy string `json:"created_by"`
}

// archiveEntry is the only element of a docker-archive's manifest.json.
type archiveEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeArchive writes the image in the format of `docker save`, which docker, containerd and podman all load.
func writeArchive(out string, spec Spec, layers ...layer) (err error) {
	image := config{
		Architecture: runtime.GOARCH, OS: "linux",
		Config: configRun{
			Env: append([]string{searchPath}, spec.Env...), Entrypoint: spec.Entrypoint, User: spec.User, StopSignal: spec.StopSignal,
		},
		RootFS: configRoot{Type: "layers"},
	}
	entry := archiveEntry{RepoTags: spec.Tags}
	for _, l := range layers {
		image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, "sha256:"+l.digest)
		image.History = append(image.History, configOrigin{CreatedBy: "haproxy-peers e2e/k8s"})
		entry.Layers = append(entry.Layers, l.digest+"/layer.tar")
	}
	encoded, err := json.Marshal(image)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(encoded)
	entry.Config = hex.EncodeToString(digest[:]) + ".json"
	manifest, err := json.Marshal([]archiveEntry{entry})
	if err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	w := tar.NewWriter(file)
	files := []File{{Path: entry.Config, Content: encoded}}
	for i, l := range layers {
		files = append(files, File{Path: entry.Layers[i], Source: l.path})
	}
	for _, f := range append(files, File{Path: "manifest.json", Content: manifest}) {
		f.Mode = 0o644
		if err := addFile(w, f); err != nil {
			return err
		}
	}
	return w.Close()
}
