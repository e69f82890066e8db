package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"
)

// contexts are the installations that somebody has to do with, in a file of their own.
type contexts struct {
	path string
	// Current is the name of the one that is meant where none is named.
	Current  string                  `yaml:"current,omitempty"`
	Contexts map[string]installation `yaml:"contexts"`
}

// installation is how the daemons of one are reached: the endpoints with the files that go with them, or a socket of this
// machine. Files are taken from the folder of the contexts' file where their paths are not absolute.
type installation struct {
	Endpoints   []string `yaml:"endpoints,omitempty" json:"endpoints,omitempty"`
	Cert        string   `yaml:"tls-cert,omitempty" json:"tls_cert,omitempty"`
	Key         string   `yaml:"tls-key,omitempty" json:"tls_key,omitempty"`
	CA          string   `yaml:"tls-ca,omitempty" json:"tls_ca,omitempty"`
	AdminSocket string   `yaml:"admin-socket,omitempty" json:"admin_socket,omitempty"`
}

// decode reads the file's text. Unknown keys are errors with their line.
func (c *contexts) decode(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("contexts %s: %w", c.path, err)
	}
	for name, in := range c.Contexts {
		if (len(in.Endpoints) == 0) == (in.AdminSocket == "") {
			return fmt.Errorf("contexts %s: %s: give endpoints, or an admin-socket", c.path, name)
		}
	}
	if c.Contexts == nil {
		c.Contexts = map[string]installation{}
	}
	return nil
}

// from is the installation with its files from a folder, where their paths are not absolute.
func (in installation) from(folder string) installation {
	for _, file := range []*string{&in.Cert, &in.Key, &in.CA} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(folder, *file)
		}
	}
	return in
}

// write replaces the file.
func (c *contexts) write() error {
	if c.path == "" {
		return errors.New("there is no home for the contexts' file: name it with the environment variable HAPROXYCTL_CONFIG")
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(c)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(c.path), 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(c.path, b.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("contexts %s: %w", c.path, err)
	}
	return nil
}
