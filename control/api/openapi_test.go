package api

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write openapi.yaml")

// described are the paths, what they answer with, and in a few words what that is.
var described = []struct {
	path, summary string
	answer        any
}{
	{PathOverview, "Everything, of one moment.", Overview{}},
	{PathStatus, "How the clients are served, what is wrong, and what the daemon knows.", Status{}},
	{PathActive, "Who takes the writes, and how far that is carried out.", Active{}},
	{PathHistory, "The last decisions and orders, and what this member did and noticed, the newest first.", History{}},
	{PathNodes, "The database nodes, and what each member says of them.", []Node{}},
	{PathMembers, "The daemons, and what the HAProxy beside each does.", []Member{}},
	{PathRegister, "The replicated record.", Register{}},
	{PathMove, "The last planned move, pending or over.", Move{}},
	{PathExplain, "Why the active is what it is, and what would happen if a node died.", Explanation{}},
	{PathCheck, "This member's word on one node.", Check{}},
}

// The file describes the types as they are, in the words of their comments.
func TestOpenAPI(t *testing.T) {
	d := &describer{comments: comments(t), schemas: map[string]*yaml.Node{}}
	paths := mapping()
	for _, p := range described {
		get := mapping("summary", p.summary, "operationId", strings.Trim(strings.ReplaceAll(strings.TrimPrefix(p.path, "/v1/"), "/", "-"), "-"))
		if p.path == PathCheck {
			put(get, "parameters", sequence(mapping("name", "address", "in", "query", "required", true, "description", "IP:PORT of the node, as haproxy.cfg has it.",
				"schema", mapping("type", "string"))))
		}
		put(get, "responses", mapping(
			"200", mapping("description", "The answer.", "content", content(d.schema(reflect.TypeOf(p.answer)))),
			"default", mapping("description", "An error.", "content", content(d.schema(reflect.TypeOf(Error{}))))))
		put(paths, p.path, mapping("get", get))
	}
	schemas := mapping()
	for _, name := range d.order {
		put(schemas, name, d.schemas[name])
	}
	doc := mapping("openapi", "3.0.3",
		"info", mapping("title", "haproxyd", "version", "1", "description", "The half of haproxyd's API that changes nothing. Keys may be added, and are then to be ignored by who does not know them; none is taken away or changes its meaning."),
		"paths", paths, "components", mapping("schemas", schemas))
	var b bytes.Buffer
	b.WriteString("# Made of the types in this folder: go test ./control/api -run OpenAPI -update\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.yaml", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), OpenAPI) {
		t.Error("openapi.yaml is not what the types are: go test ./control/api -run OpenAPI -update")
	}
}

// describer makes schemas of types.
type describer struct {
	comments map[string]string // of TYPE and TYPE.FIELD
	schemas  map[string]*yaml.Node
	order    []string
}

func (d *describer) schema(t reflect.Type) *yaml.Node {
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Slice:
		return mapping("type", "array", "items", d.schema(t.Elem()))
	case reflect.Map:
		return mapping("type", "object", "additionalProperties", d.schema(t.Elem()))
	case reflect.String:
		return mapping("type", "string")
	case reflect.Bool:
		return mapping("type", "boolean")
	case reflect.Int, reflect.Int64:
		return mapping("type", "integer", "format", "int64")
	case reflect.Uint64:
		return mapping("type", "integer", "format", "int64", "minimum", 0)
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return mapping("type", "string", "format", "date-time")
		}
		d.object(t)
		return mapping("$ref", "#/components/schemas/"+t.Name())
	}
	panic(t.String() + " has no schema")
}

func (d *describer) object(t reflect.Type) {
	if d.schemas[t.Name()] != nil {
		return
	}
	object, properties, required := mapping("type", "object"), mapping(), sequence()
	d.schemas[t.Name()] = object
	d.order = append(d.order, t.Name())
	if text := d.comments[t.Name()]; text != "" {
		put(object, "description", text)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s := d.schema(f.Type)
		if text := d.comments[t.Name()+"."+f.Name]; text != "" {
			if s.Content[0].Value == "$ref" { // nothing may stand beside one
				s = mapping("allOf", sequence(s))
			}
			put(s, "description", text)
		}
		put(properties, name, s)
		if !strings.Contains(options, "omitempty") {
			required.Content = append(required.Content, scalar(name))
		}
	}
	if len(required.Content) > 0 {
		put(object, "required", required)
	}
	put(object, "properties", properties)
}

// comments are those of the types here and their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				ts := spec.(*ast.TypeSpec) //nolint:forcetypeassert // as token.TYPE has
				s, ok := ts.Type.(*ast.StructType)
				if !ok {
					continue
				}
				all[ts.Name.Name] = flat(g.Doc, ts.Doc)
				for _, f := range s.Fields.List {
					for _, n := range f.Names {
						all[ts.Name.Name+"."+n.Name] = flat(f.Doc, f.Comment)
					}
				}
			}
		}
	}
	return all
}

func flat(groups ...*ast.CommentGroup) string {
	var all []string
	for _, g := range groups {
		all = append(all, strings.Fields(g.Text())...)
	}
	return strings.Join(all, " ")
}

func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(pairs); i += 2 {
		put(n, pairs[i].(string), pairs[i+1]) //nolint:forcetypeassert // keys are strings
	}
	return n
}

func put(n *yaml.Node, key string, value any) {
	node, ok := value.(*yaml.Node)
	if !ok {
		node = scalar(value)
	}
	n.Content = append(n.Content, scalar(key), node)
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func scalar(value any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(value); err != nil {
		panic(err)
	}
	return n
}

func content(schema *yaml.Node) *yaml.Node {
	return mapping("application/json", mapping("schema", schema))
}
