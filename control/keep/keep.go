package keep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	if strict.Decode(v) == nil && onlySpace(data[strict.InputOffset():]) {
		return nil // nothing is unknown: this is the common case
	}
	to.SetZero()
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return collect(data, to)
}

func onlySpace(b []byte) bool { return len(bytes.TrimSpace(b)) == 0 }

// Marshal writes v as json.Marshal does, with what was kept.
func Marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || !holds(reflect.ValueOf(v)) {
		return data, err
	}
	return splice(data, reflect.ValueOf(v))
}

// member is one name and value of an object, in the order in which they stand.
type member struct {
	name  string
	value json.RawMessage
}

func members(data []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, err // a null, or what the type reads by itself
	}
	var out []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: fmt.Sprint(name)}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return nil, err
	}
	return out, nil
}

// field returns the field of a struct that encoding/json reads a name into, as
// it does: the exact name, else one that differs in case only.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	var near reflect.Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || tag == "-":
			continue
		case tag == "":
			tag = f.Name
		}
		if tag == name {
			return v.Field(i), true
		}
		if strings.EqualFold(tag, name) && !near.IsValid() {
			near = v.Field(i)
		}
	}
	return near, near.IsValid()
}

// rest returns the field of a struct that keeps what is unknown.
func rest(v reflect.Value) (reflect.Value, bool) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Type == restType && f.IsExported() {
			return v.Field(i), true
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
	case reflect.Pointer:
		return !v.IsNil()
	}
	return false
}

// collect fills the Rest fields below v, which was read from data.
func collect(data []byte, v reflect.Value) error {
	switch {
	case !walks(v):
		return nil
	case v.Kind() == reflect.Pointer:
		return collect(data, v.Elem())
	case v.Kind() == reflect.Slice:
		var parts []json.RawMessage
		if err := json.Unmarshal(data, &parts); err != nil {
			return err
		}
		for i := range min(len(parts), v.Len()) {
			if err := collect(parts[i], v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	ms, err := members(data)
	if err != nil {
		return err
	}
	var unknown []member
	for _, m := range ms {
		if f, ok := field(v, m.name); ok {
			if err := collect(m.value, f); err != nil {
				return err
			}
			continue
		}
		unknown = append(unknown, m)
	}
	if to, ok := rest(v); ok && len(unknown) > 0 {
		b, err := write(unknown)
		if err != nil {
			return err
		}
		to.SetString(string(b[1 : len(b)-1]))
	}
	return nil
}

// holds tells whether something is kept in v or below it.
func holds(v reflect.Value) bool {
	switch {
	case !v.IsValid() || !walks(v):
		return false
	case v.Kind() == reflect.Pointer:
		return holds(v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if holds(v.Index(i)) {
				return true
			}
		}
		return false
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && (f.Type == restType && v.Field(i).Len() > 0 || holds(v.Field(i))) {
			return true
		}
	}
	return false
}

// splice puts what is kept in v into data, which was written from it.
func splice(data []byte, v reflect.Value) ([]byte, error) {
	switch {
	case !holds(v):
		return data, nil
	case v.Kind() == reflect.Pointer:
		return splice(data, v.Elem())
	case v.Kind() == reflect.Slice:
		var parts []json.RawMessage
		if err := json.Unmarshal(data, &parts); err != nil {
			return nil, err
		}
		for i := range parts {
			part, err := splice(parts[i], v.Index(i))
			if err != nil {
				return nil, err
			}
			parts[i] = part
		}
		// Not json.Marshal: it would escape what stood there unescaped.
		return slices.Concat([]byte("["), bytes.Join(asBytes(parts), []byte(",")), []byte("]")), nil
	}
	ms, err := members(data)
	if err != nil {
		return nil, err
	}
	for i := range ms {
		if f, ok := field(v, ms[i].name); ok {
			if ms[i].value, err = splice(ms[i].value, f); err != nil {
				return nil, err
			}
		}
	}
	out, err := write(ms)
	if err != nil {
		return nil, err
	}
	if kept, ok := rest(v); ok && kept.Len() > 0 {
		out = out[:len(out)-1]
		if len(ms) > 0 {
			out = append(out, ',')
		}
		out = append(append(out, kept.String()...), '}')
	}
	return out, nil
}

func asBytes(parts []json.RawMessage) [][]byte {
	out := make([][]byte, 0, len(parts))
	for _, p := range parts {
		out = append(out, p)
	}
	return out
}

// write writes an object, its values without spaces between them.
func write(ms []member) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		if err := json.Compact(&out, m.value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
