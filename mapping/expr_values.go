package mapping

import (
	"fmt"
	"reflect"
)

// kindOf names a value's kind for people.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "true or false"
	case string:
		return "text"
	case int, int64, float64:
		return "a number"
	case map[string]any, deviceVars:
		return "an object"
	case []byte:
		return "bytes"
	case []any, []string, []int, [2]any:
		return "a list"
	}
	return fmt.Sprintf("%T", v)
}

// plainValue turns what the library's own functions yield into the kinds that
// decoded payloads have.
func plainValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, int, float64, map[string]any, []any, []byte:
		return v
	case deviceVars:
		return v.object()
	case []string:
		return list(v)
	case [2]any: // toPairs
		return v[:]
	case []int:
		return list(v)
	case int64:
		return int(v)
	case float32:
		return float64(v)
	case map[any][]any:
		m := make(map[string]any, len(v))
		for k, items := range v {
			m[keyText(k)] = items
		}
		return m
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, item := range v {
			m[keyText(k)] = item
		}
		return m
	}
	return v
}

// deepPlain is plainValue for a value and all in it. What is plain already is
// not copied.
func deepPlain(v any, depth int) any {
	v = plainValue(v)
	if depth > maxDepth {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		var changed map[string]any
		for k, item := range v {
			if plain := deepPlain(item, depth+1); !same(plain, item) {
				if changed == nil {
					changed = make(map[string]any, len(v))
				}
				changed[k] = plain
			}
		}
		if changed == nil {
			return v
		}
		for k, item := range v {
			if _, done := changed[k]; !done {
				changed[k] = item
			}
		}
		return changed
	case []any:
		var out []any
		for i, item := range v {
			if plain := deepPlain(item, depth+1); !same(plain, item) {
				if out == nil {
					out = append([]any(nil), v...)
				}
				out[i] = plain
			}
		}
		if out != nil {
			return out
		}
	}
	return v
}

// same reports whether deepPlain left a value as it was.
func same(a, b any) bool {
	switch b := b.(type) {
	case nil, bool, string, int, float64:
		return true
	case []byte:
		return true
	case map[string]any:
		m, ok := a.(map[string]any)
		return ok && reflect.ValueOf(m).Pointer() == reflect.ValueOf(b).Pointer()
	case []any:
		l, ok := a.([]any)
		return ok && len(l) == len(b) && (len(l) == 0 || &l[0] == &b[0])
	}
	return false
}

func list[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
