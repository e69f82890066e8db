package keep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Rest are the unknown members of one JSON object as they stood there, with
// commas between them: `"a":1,"b":[2]`. It is a string so that a struct with it
// can be compared and copied like any other value. The zero value is none.
//
// A struct takes part by a field of this type, tagged `json:"-"`.
type Rest string

var restType = reflect.TypeFor[Rest]()

// Unmarshal reads data into v, a pointer, as json.Unmarshal does, with the same
// errors, and keeps what v's type does not know. What v held before is dropped.
func Unmarshal(data []byte, v any) error {
	to := reflect.ValueOf(v).Elem()
	to.SetZero()
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if strict.Decode(v) == nil && len(bytes.TrimSpace(data[strict.InputOffset():])) == 0 {
		return nil // nothing is unknown: this is the common case
	}
	to.SetZero()
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	collect(data, to)
	return nil
}

// Marshal writes v as json.Marshal does, with what was kept.
func Marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return splice(data, reflect.ValueOf(v)), nil
}

// Everything below works on JSON that encoding/json has just read into the value, or
// written from it: to read it once more cannot fail.

// member is one name and value of an object, in the order in which they stand.
type member struct {
	name  string
	value json.RawMessage
}

// members are those of an object; none of a null, or of what the type reads by itself.
func members(data []byte) []member {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil
	}
	var out []member
	for d.More() {
		name, _ := d.Token()
		m := member{name: fmt.Sprint(name)}
		_ = d.Decode(&m.value)
		out = append(out, m)
	}
	return out
}

// elements are those of a list.
func elements(data []byte) []json.RawMessage {
	var out []json.RawMessage
	_ = json.Unmarshal(data, &out)
	return out
}

// field returns the field of a struct that encoding/json reads a name into, as
// it does: the exact name, else one that differs in case only.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	var near reflect.Value
	for f, value := range v.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || tag == "-":
			continue
		case tag == "":
			tag = f.Name
		}
		if tag == name {
			return value, true
		}
		if strings.EqualFold(tag, name) && !near.IsValid() {
			near = value
		}
	}
	return near, near.IsValid()
}

// rest returns the field of a struct that keeps what is unknown.
func rest(v reflect.Value) (reflect.Value, bool) {
	for f, value := range v.Fields() {
		if f.Type == restType && f.IsExported() {
			return value, true
		}
	}
	return reflect.Value{}, false
}

// walks tells whether a value of the type is looked into.
func walks(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		_, own := v.Interface().(json.Marshaler) // a time.Time is a text
		return !own
	case reflect.Slice:
		k := v.Type().Elem().Kind()
		return k == reflect.Struct || k == reflect.Pointer
	}
	return false // a nil pointer, too
}

// collect fills the Rest fields below v, which was read from data.
func collect(data []byte, v reflect.Value) {
	v = reflect.Indirect(v)
	switch {
	case !walks(v):
		return
	case v.Kind() == reflect.Slice:
		parts := elements(data)
		for i := range min(len(parts), v.Len()) { // a name that stands twice may have had a longer list
			collect(parts[i], v.Index(i))
		}
		return
	}
	var unknown []member
	for _, m := range members(data) {
		if f, ok := field(v, m.name); ok {
			collect(m.value, f)
			continue
		}
		unknown = append(unknown, m)
	}
	if to, ok := rest(v); ok && len(unknown) > 0 {
		b := write(unknown)
		to.SetString(string(b[1 : len(b)-1]))
	}
}

// holds tells whether something is kept in v or below it.
func holds(v reflect.Value) bool {
	v = reflect.Indirect(v)
	switch {
	case !walks(v):
		return false
	case v.Kind() == reflect.Slice:
		for _, element := range v.Seq2() {
			if holds(element) {
				return true
			}
		}
		return false
	}
	for f, value := range v.Fields() {
		if f.IsExported() && (f.Type == restType && value.Len() > 0 || holds(value)) {
			return true
		}
	}
	return false
}

// splice puts what is kept in v into data, which was written from it.
func splice(data []byte, v reflect.Value) []byte {
	v = reflect.Indirect(v)
	switch {
	case !holds(v):
		return data
	case v.Kind() == reflect.Slice:
		var out [][]byte
		for i, part := range elements(data) {
			out = append(out, splice(part, v.Index(i)))
		}
		// Not json.Marshal: it would escape what stood there unescaped.
		return slices.Concat([]byte("["), bytes.Join(out, []byte(",")), []byte("]"))
	}
	ms := members(data)
	for i := range ms {
		if f, ok := field(v, ms[i].name); ok {
			ms[i].value = splice(ms[i].value, f)
		}
	}
	out := write(ms)
	if kept, ok := rest(v); ok && kept.Len() > 0 {
		out = out[:len(out)-1]
		if len(ms) > 0 {
			out = append(out, ',')
		}
		out = append(append(out, kept.String()...), '}')
	}
	return out
}

// write writes an object, its values without spaces between them.
func write(ms []member) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		out.Write(name)
		out.WriteByte(':')
		_ = json.Compact(&out, m.value)
	}
	out.WriteByte('}')
	return out.Bytes()
}
