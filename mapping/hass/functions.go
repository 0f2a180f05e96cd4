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

// number is what Python's float makes of a value.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		s := strings.TrimSpace(v)
		if strings.ContainsAny(s, "xXpP_") {
			return 0, false
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return 0, false
}

// otherwise gives the default of float, int and round: no value is an error without one.
func otherwise(name string, p []any, n int) (any, error) {
	if len(p) > n {
		return p[n], nil
	}
	if p[0] == nil {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %v is no number", name, p[0])
}

// floatFunction: jinjaFloat(x[, default]).
func floatFunction(p ...any) (any, error) {
	if len(p) < 1 || len(p) > 2 {
		return nil, errors.New("jinjaFloat takes a value and a default")
	}
	if f, ok := number(p[0]); ok {
		return f, nil
	}
	return otherwise("float", p, 1)
}

// intFunction: jinjaInt(x[, default]) cuts off what is behind the point.
func intFunction(p ...any) (any, error) {
	if len(p) < 1 || len(p) > 2 {
		return nil, errors.New("jinjaInt takes a value and a default")
	}
	if i, ok := p[0].(int); ok {
		return i, nil
	}
	if s, ok := p[0].(string); ok {
		if i, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
			return int(i), nil
		}
	}
	if f, ok := number(p[0]); ok && math.Abs(f) < 1<<53 {
		return int(math.Trunc(f)), nil
	}
	return otherwise("int", p, 1)
}

// roundFunction: jinjaRound(x, digits, "common" | "floor" | "ceil"): to the even neighbour, as Python does.
func roundFunction(p ...any) (any, error) {
	if err := need("jinjaRound", p, 3); err != nil {
		return nil, err
	}
	f, ok := number(p[0])
	digits, isInt := p[1].(int)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return otherwise("round", p[:1], 1)
	}
	if !isInt || digits < 0 || digits > 15 {
		return nil, errors.New("round: between 0 and 15 digits")
	}
	scale := math.Pow(10, float64(digits))
	switch p[2] {
	case "floor":
		f = math.Floor(f*scale) / scale
	case "ceil":
		f = math.Ceil(f*scale) / scale
	default:
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
	}
	if digits == 0 && math.Abs(f) < 1<<53 {
		return int(f), nil
	}
	return f, nil
}

// absFunction: jinjaAbs(x).
func absFunction(p ...any) (any, error) {
	if err := need("jinjaAbs", p, 1); err != nil {
		return nil, err
	}
	switch v := p[0].(type) {
	case nil:
		return nil, nil
	case int:
		return max(v, -v), nil
	case float64:
		return math.Abs(v), nil
	}
	return nil, errors.New("abs: a number is wanted")
}

// operands are two numbers of an operation; none where one is missing.
func operands(name string, p []any) (a, b float64, whole, none bool, err error) {
	if err = need(name, p, 2); err != nil {
		return 0, 0, false, false, err
	}
	if p[0] == nil || p[1] == nil {
		return 0, 0, false, true, nil
	}
	var ok, ok2 bool
	switch p[0].(type) {
	case int, float64:
		a, ok = number(p[0])
	}
	switch p[1].(type) {
	case int, float64:
		b, ok2 = number(p[1])
	}
	_, i := p[0].(int)
	_, j := p[1].(int)
	if !ok || !ok2 {
		return 0, 0, false, false, errors.New("numbers are wanted")
	}
	return a, b, i && j, false, nil
}

func divideFunction(p ...any) (any, error) {
	a, b, _, none, err := operands("jinjaDivide", p)
	switch {
	case err != nil || none:
		return nil, err
	case b == 0:
		return nil, errors.New("division by zero")
	}
	return a / b, nil
}

func floorFunction(p ...any) (any, error) {
	a, b, whole, none, err := operands("jinjaFloor", p)
	switch {
	case err != nil || none:
		return nil, err
	case b == 0:
		return nil, errors.New("division by zero")
	}
	f := math.Floor(a / b)
	if whole && math.Abs(f) < 1<<53 {
		return int(f), nil
	}
	return f, nil
}

func moduloFunction(p ...any) (any, error) {
	a, b, whole, none, err := operands("jinjaModulo", p)
	switch {
	case err != nil || none:
		return nil, err
	case b == 0:
		return nil, errors.New("division by zero")
	}
	f := math.Mod(a, b)
	if f != 0 && (f < 0) != (b < 0) {
		f += b
	}
	if whole && math.Abs(f) < 1<<53 {
		return int(f), nil
	}
	return f, nil
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

// wholeFunction: jinjaWhole(x) is a number without a point where it is whole.
func wholeFunction(p ...any) (any, error) {
	if err := need("jinjaWhole", p, 1); err != nil {
		return nil, err
	}
	if f, ok := p[0].(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int(f), nil
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
