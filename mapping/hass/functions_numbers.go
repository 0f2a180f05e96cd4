package hass

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

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
