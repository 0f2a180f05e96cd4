package hass

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"thingbridge/mapping"
)

func init() {
	for name, f := range map[string]func(...any) (any, error){
		"jinjaText": textFunction, "jinjaJoin": joinFunction, "jinjaStrip": stripFunction, "jinjaTrue": trueFunction,
		"jinjaFloat": floatFunction, "jinjaInt": intFunction, "jinjaRound": roundFunction, "jinjaAbs": absFunction,
		"jinjaModulo": moduloFunction, "jinjaFloor": floorFunction, "jinjaDivide": divideFunction, "jinjaCompare": compareFunction,
		"jinjaHas": hasFunction, "jinjaIn": inFunction, "jinjaKnown": knownFunction, "jinjaLength": lengthFunction,
		"jinjaWhole": wholeFunction,
	} {
		mapping.RegisterFunction(name, f)
	}
}

func need(name string, p []any, n int) error {
	if len(p) != n {
		return fmt.Errorf("%s takes %d arguments, not %d", name, n, len(p))
	}
	return nil
}

// text is what Python's str makes of a value; nil has none.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return floatText(v), nil
	case nil:
		return "", errors.New("no value")
	}
	return "", errors.New("an object or a list has no text of its own; tojson gives one")
}

func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a >= 1e16 || a < 1e-4) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// textFunction: jinjaText(x) is the text of a value, nil of nil.
func textFunction(p ...any) (any, error) {
	if err := need("jinjaText", p, 1); err != nil || p[0] == nil {
		return nil, err
	}
	return text(p[0])
}

// joinFunction: jinjaJoin(a, b, …) joins texts; nil where one is nil.
func joinFunction(p ...any) (any, error) {
	const most = 64 << 10
	var b strings.Builder
	for _, v := range p {
		if v == nil {
			return nil, nil
		}
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		if b.Len()+len(s) > most {
			return nil, errors.New("the text is longer than 64 KiB")
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// stripFunction: jinjaStrip(x) cuts white space off the ends of text; empty text is no value.
func stripFunction(p ...any) (any, error) {
	if err := need("jinjaStrip", p, 1); err != nil {
		return nil, err
	}
	s, ok := p[0].(string)
	if !ok {
		return p[0], nil
	}
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	return s, nil
}

// trueFunction: jinjaTrue(x) is what Python takes for true.
func trueFunction(p ...any) (any, error) {
	if err := need("jinjaTrue", p, 1); err != nil {
		return nil, err
	}
	switch v := p[0].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case int:
		return v != 0, nil
	case float64:
		return v != 0, nil
	case string:
		return v != "", nil
	case []any:
		return len(v) > 0, nil
	case map[string]any:
		return len(v) > 0, nil
	}
	return true, nil
}

// compareFunction: jinjaCompare(a, "<", b) of two numbers or two texts; anything else is an error, as in Python.
func compareFunction(p ...any) (any, error) {
	if err := need("jinjaCompare", p, 3); err != nil {
		return nil, err
	}
	order := 0
	a, isText := p[0].(string)
	b, isText2 := p[2].(string)
	if isText && isText2 {
		order = strings.Compare(a, b)
	} else {
		x, y, _, none, err := operands("jinjaCompare", []any{p[0], p[2]})
		if none || err != nil {
			return nil, errors.New("two numbers or two texts are wanted to compare")
		}
		switch {
		case x < y:
			order = -1
		case x > y:
			order = 1
		}
	}
	switch p[1] {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

// hasFunction: jinjaHas(x, "name" or index) tells whether there is such a member, null or not.
func hasFunction(p ...any) (any, error) {
	if err := need("jinjaHas", p, 2); err != nil {
		return nil, err
	}
	switch v := p[0].(type) {
	case map[string]any:
		key, ok := p[1].(string)
		_, there := v[key]
		return ok && there, nil
	case []any:
		i, ok := p[1].(int)
		return ok && i < len(v) && i >= -len(v), nil
	}
	return false, nil
}

// inFunction: jinjaIn(x, list or text).
func inFunction(p ...any) (any, error) {
	if err := need("jinjaIn", p, 2); err != nil {
		return nil, err
	}
	switch in := p[1].(type) {
	case []any:
		for _, item := range in {
			if equal(item, p[0]) {
				return true, nil
			}
		}
		return false, nil
	case map[string]any:
		key, ok := p[0].(string)
		_, there := in[key]
		return ok && there, nil
	case string:
		if part, ok := p[0].(string); ok {
			return strings.Contains(in, part), nil
		}
	}
	return nil, errors.New("in: a list or text is wanted")
}

func equal(a, b any) bool {
	x, err := plainNumber(a)
	y, err2 := plainNumber(b)
	if err == nil && err2 == nil {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func plainNumber(v any) (float64, error) {
	switch v := v.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, errors.New("no number")
}

// knownFunction: jinjaKnown(x) is nil for the words by which devices say that there is no value.
func knownFunction(p ...any) (any, error) {
	if err := need("jinjaKnown", p, 1); err != nil {
		return nil, err
	}
	if s, ok := p[0].(string); ok {
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "", "none", "nan", "unknown", "unavailable":
			return nil, nil
		}
	}
	return p[0], nil
}

// lengthFunction: jinjaLength(x) of text, a list or an object.
func lengthFunction(p ...any) (any, error) {
	if err := need("jinjaLength", p, 1); err != nil {
		return nil, err
	}
	switch v := p[0].(type) {
	case nil:
		return nil, nil
	case string:
		return len([]rune(v)), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	return nil, errors.New("length: text, a list or an object is wanted")
}
