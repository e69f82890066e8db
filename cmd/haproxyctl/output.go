package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// format is how results are printed; it is the value of -o.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

var formatNames = []string{string(formatTable), string(formatJSON), string(formatYAML)}

func (f *format) String() string { return string(*f) }

// Type is what the help shows for the value.
func (f *format) Type() string { return strings.Join(formatNames, "|") }

// Set takes the flag's value.
func (f *format) Set(s string) error {
	if !slices.Contains(formatNames, s) {
		return fmt.Errorf("it is one of %s", strings.Join(formatNames, ", "))
	}
	*f = format(s)
	return nil
}

// print writes v as JSON or YAML, or calls table for people.
func (a *app) print(v any, table func(w io.Writer)) error {
	if a.format == formatTable {
		var buf bytes.Buffer
		table(&buf)
		_, err := a.stdout.Write(buf.Bytes())
		return err
	}
	data, err := encode(v, a.format)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(data)
	return err
}

// answer makes a command's work of a question and of how its answer is shown to people.
func answer[T any](a *app, ask func(ctx context.Context, args []string) (T, error), show func(w io.Writer, v T)) func(*cobra.Command, []string) error {
	return runE(func(ctx context.Context, args []string) error {
		v, err := ask(ctx, args)
		if err != nil {
			return err
		}
		return a.print(v, func(w io.Writer) { show(w, v) })
	})
}

// encode gives JSON as one line, so that a stream of them can be read line by
// line, and YAML with the same keys in the same order.
func encode(v any, f format) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(api.WithLists(v)); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	if f == formatJSON {
		return buf.Bytes(), nil
	}
	// JSON is YAML: read it as a tree, which keeps the order of the keys, and
	// write the tree in YAML's own style.
	var doc yaml.Node
	if err := yaml.Unmarshal(buf.Bytes(), &doc); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	plain(&doc)
	var out bytes.Buffer
	out.WriteString("---\n")
	yenc := yaml.NewEncoder(&out)
	yenc.SetIndent(2)
	if err := yenc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return out.Bytes(), nil
}

// plain drops JSON's braces and quotes where YAML does without.
func plain(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}
