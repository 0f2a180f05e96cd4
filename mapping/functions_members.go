package mapping

import "fmt"

// The members of an object come in the order of their names, so that a message
// means the same each time, in the same order. The library's own builtins of these
// names give them in any order.

func keysFunction(p ...any) (any, error) {
	return members("keys", p, func(name string, _ any) any { return name })
}

func valuesFunction(p ...any) (any, error) {
	return members("values", p, func(_ string, v any) any { return v })
}

func toPairsFunction(p ...any) (any, error) {
	return members("toPairs", p, func(name string, v any) any { return []any{name, v} })
}

func members(function string, p []any, member func(name string, v any) any) (any, error) {
	v, err := one(function, p)
	if err != nil {
		return nil, err
	}
	m, ok := plainValue(v).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s takes an object, not %s", function, kindOf(v))
	}
	out := make([]any, 0, len(m))
	for _, name := range sortedKeys(m) {
		out = append(out, member(name, m[name]))
	}
	return out, nil
}
