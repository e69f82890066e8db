package api

import (
	"encoding/json"
	"reflect"
)

var marshaler = reflect.TypeFor[json.Marshaler]()

// WithLists is a copy of v with empty lists and maps in place of those that are nil, at any
// depth: in JSON a list is never null, so that programs need no case for it.
func WithLists(v any) any {
	if v == nil {
		return nil
	}
	return withLists(reflect.ValueOf(v)).Interface()
}

func withLists(v reflect.Value) reflect.Value {
	t := v.Type()
	if t.Implements(marshaler) { // times, above all
		return v
	}
	out := reflect.New(t).Elem()
	out.Set(v)
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				out.Field(i).Set(withLists(v.Field(i)))
			}
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(t, v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(withLists(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMapWithSize(t, v.Len()))
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), withLists(it.Value()))
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			break
		}
		if t.Kind() == reflect.Interface {
			out.Set(withLists(v.Elem()))
			break
		}
		out.Set(reflect.New(t.Elem()))
		out.Elem().Set(withLists(v.Elem()))
	}
	return out
}
