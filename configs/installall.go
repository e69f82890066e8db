package configs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Replacement is a file of a configuration that InstallAll replaces, or leaves where New is Old.
type Replacement struct {
	Path     string
	Old, New []byte
	// Keep is the path of a copy of Old that is made first, "" for none. One that is there must be the same.
	Keep string
}

// InstallAll replaces the files of one configuration, each as Install does, after check has accepted all of them together:
// it gets, in their order, where their new texts are. Where one cannot be replaced those before it get their old text
// back. A file that has another text than Old is an error, and nothing is replaced. A file needs no header.
func InstallAll(ctx context.Context, list []Replacement, check func(texts []string) error) (err error) {
	texts := make([]string, len(list))
	pending := map[int]*staged{}
	defer func() {
		for _, tmp := range pending {
			err = errors.Join(err, tmp.Cleanup())
		}
	}()
	for i, r := range list {
		texts[i] = r.Path
		if bytes.Equal(r.Old, r.New) {
			continue
		}
		if err := r.unkept(); err != nil {
			return err
		}
		tmp, err := stage(r.Path, r.New, true)
		if err != nil {
			return err
		}
		pending[i], texts[i] = tmp, tmp.Name()
	}
	if err := check(texts); err != nil {
		return fmt.Errorf("the new text was refused, the files are as they were: %w", err)
	}
	for _, r := range list {
		if now, err := os.ReadFile(r.Path); err != nil || !bytes.Equal(now, r.Old) {
			return errors.Join(err, fmt.Errorf("%s has changed meanwhile, nothing was replaced: try again", r.Path))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range list {
		if pending[i] == nil || r.Keep == "" {
			continue
		}
		if err := r.keep(); err != nil {
			return err
		}
	}
	for i, r := range list {
		if pending[i] == nil {
			continue
		}
		if err := pending[i].replace(); err != nil {
			return errors.Join(fmt.Errorf("%s: the files are as they were: %w", r.Path, err), bringBack(ctx, list[:i]))
		}
	}
	return nil
}

// unkept tells why the copy cannot be made: another one is never overwritten.
func (r Replacement) unkept() error {
	if r.Keep == "" {
		return nil
	}
	switch there, err := os.ReadFile(r.Keep); {
	case errors.Is(err, fs.ErrNotExist), err == nil && bytes.Equal(there, r.Old):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s is there already and is another text: move it away first", r.Keep)
}

// keep makes the copy, with the file's mode and owner.
func (r Replacement) keep() (err error) {
	if _, err := os.Lstat(r.Keep); err == nil {
		return nil // unkept has seen that it is the same
	}
	info, err := os.Stat(r.Path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.Keep, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := keepOwner(f, info); err != nil {
		return fmt.Errorf("%s: cannot have the owner of %s: %w", r.Keep, r.Path, err)
	}
	if _, err := f.Write(r.Old); err != nil {
		return err
	}
	return f.Sync()
}

// bringBack gives files their old texts.
func bringBack(ctx context.Context, list []Replacement) (err error) {
	for _, r := range list {
		if !bytes.Equal(r.Old, r.New) {
			err = errors.Join(err, Install(context.WithoutCancel(ctx), r.Path, r.Old, nil, true))
		}
	}
	return err
}
