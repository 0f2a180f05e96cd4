package mapping

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Refusal is the error of a function that refuses a value for what it is. People
// read its text as it stands; of other errors they are told the expression, too.
type Refusal struct{ Text string }

func (e *Refusal) Error() string { return e.Text }

// RegisterFunction adds a function that expressions can call. It must be pure,
// fast, and safe for concurrent use. It panics when the name is taken. Call it
// from init only.
func RegisterFunction(name string, fn func(args ...any) (any, error)) {
	functionsMu.Lock()
	defer functionsMu.Unlock()
	if _, taken := functions[name]; taken || !isIdentifier(name) {
		panic("mapping: function name " + name + " is taken or not a name")
	}
	functions[name] = fn
}

var functionsMu sync.RWMutex

// functions are our own functions for expressions; doc.go lists them for people.
var functions = map[string]func(...any) (any, error){
	"toJSON": func(p ...any) (any, error) {
		v, err := one("toJSON", p)
		return string(appendAny(nil, deepPlain(v, 0))), err
	},
	"fromJSON": func(p ...any) (any, error) {
		v, err := one("fromJSON", p)
		if s, ok := v.(string); ok && err == nil {
			return parseJSON([]byte(s), maxListItems)
		}
		return nil, err
	},
	"keys":       keysFunction,
	"values":     valuesFunction,
	"toPairs":    toPairsFunction,
	"flatten":    flattenFunction,
	"merge":      mergeFunction,
	"number":     numberFunction,
	"roundTo":    roundFunction,
	"hex":        hexFunction,
	"fromHex":    fromHexFunction,
	"fromBase64": fromBase64Function,
	"toBase64":   toBase64Function,
	"pack":       packFunction,
	"parseTime":  parseTimeFunction,
	"formatTime": formatTimeFunction,
	"read":       readFunction,
	"readText":   readTextFunction,
	"thingName":  thingNameFunction,
	"literal":    literalFunction,
	"uniq":       uniqFunction,
	"repeat":     repeatFunction,
	"replace":    replaceFunction,
	"join":       joinFunction,
}

func one(name string, p []any) (any, error) {
	if len(p) != 1 {
		return nil, fmt.Errorf("%s takes one argument, not %d", name, len(p))
	}
	return p[0], nil
}

// flattenFunction: flatten(object, separator[, first]) joins the names of nested
// members, with first also those of lists' items, which count from it;
// flatten(list) makes one list of nested lists.
func flattenFunction(p ...any) (any, error) {
	if len(p) == 0 || len(p) > 3 {
		return nil, fmt.Errorf("flatten takes an object, a separator and the number of a list's first item, or a list")
	}
	switch v := plainValue(p[0]).(type) {
	case nil:
		return nil, nil
	case []any:
		out := []any{}
		flattenList(v, &out)
		return out, nil
	case map[string]any:
		f := flattener{sep: "_", out: make(map[string]any, len(v))}
		if len(p) > 1 {
			s, ok := p[1].(string)
			if !ok {
				return nil, fmt.Errorf("flatten's separator must be text")
			}
			f.sep = s
		}
		if len(p) > 2 {
			first, ok := p[2].(int)
			if !ok {
				return nil, fmt.Errorf("flatten's number of the first item must be a whole number")
			}
			f.lists, f.first = true, first
		}
		f.object(v, "")
		return f.out, nil
	}
	return nil, fmt.Errorf("flatten takes an object or a list, not %s", kindOf(p[0]))
}

func flattenList(in []any, out *[]any) {
	for _, v := range in {
		if l, ok := v.([]any); ok {
			flattenList(l, out)
		} else {
			*out = append(*out, v)
		}
	}
}

// flattener joins the names of nested members.
type flattener struct {
	sep   string
	lists bool // lists are taken apart too
	first int  // number of a list's first item
	out   map[string]any
}

func (f *flattener) object(in map[string]any, prefix string) {
	for _, k := range sortedKeys(in) {
		f.value(prefix+k, in[k])
	}
}

func (f *flattener) value(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		f.object(v, name+f.sep)
		return
	case []any:
		if f.lists {
			for i, item := range v {
				f.value(name+f.sep+strconv.Itoa(f.first+i), item)
			}
			return
		}
	}
	f.out[name] = v
}

// mergeFunction: merge(object, …); later members win, nil is an empty object.
func mergeFunction(p ...any) (any, error) {
	out := map[string]any{}
	for _, v := range p {
		switch m := plainValue(v).(type) {
		case nil:
		case map[string]any:
			for k, item := range m {
				out[k] = item
			}
		default:
			return nil, fmt.Errorf("merge takes objects, not %s", kindOf(v))
		}
	}
	return out, nil
}

// numberFunction: number(x) is the number of numeric text, else nil.
func numberFunction(p ...any) (any, error) {
	v, err := one("number", p)
	switch v := v.(type) {
	case int, float64:
		return v, err
	case string:
		s := strings.TrimSpace(v)
		if scanJSON([]byte(s), 1) == nil && s[0] != '"' && s[0] != '{' && s[0] != '[' {
			if n := decodeJSON([]byte(s)); kindOf(n) == "a number" {
				return n, nil
			}
		}
	}
	return nil, err
}

// roundFunction: roundTo(x, digits).
func roundFunction(p ...any) (any, error) {
	if len(p) != 2 {
		return nil, fmt.Errorf("roundTo takes a number and a count of digits")
	}
	digits, ok := p[1].(int)
	if !ok || digits < 0 || digits > 15 {
		return nil, fmt.Errorf("roundTo's digits must be 0 to 15")
	}
	switch v := p[0].(type) {
	case nil, int:
		return v, nil
	case float64:
		s := strconv.FormatFloat(v, 'f', digits, 64)
		return strconv.ParseFloat(s, 64)
	}
	return nil, fmt.Errorf("roundTo takes a number, not %s", kindOf(p[0]))
}

func bytesOf(v any) ([]byte, bool) {
	switch v := v.(type) {
	case []byte:
		return v, true
	case string:
		return []byte(v), true
	}
	return nil, false
}

func hexFunction(p ...any) (any, error) {
	v, err := one("hex", p)
	if i, ok := v.(int); ok {
		return strconv.FormatInt(int64(i), 16), err
	}
	if b, ok := bytesOf(v); ok {
		return hex.EncodeToString(b), err
	}
	return nil, err
}

func fromHexFunction(p ...any) (any, error) {
	v, err := one("fromHex", p)
	if s, ok := v.(string); ok && err == nil {
		return hex.DecodeString(s)
	}
	return nil, err
}

func fromBase64Function(p ...any) (any, error) {
	v, err := one("fromBase64", p)
	if s, ok := v.(string); ok && err == nil {
		return base64.StdEncoding.DecodeString(s)
	}
	return nil, err
}

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// parseTimeFunction: parseTime(text[, layout]) in milliseconds; nil when the
// text is not a time. Without a zone in the text, UTC counts.
func parseTimeFunction(p ...any) (any, error) {
	if len(p) == 0 || len(p) > 2 {
		return nil, fmt.Errorf("parseTime takes text and a layout")
	}
	text, ok := p[0].(string)
	if !ok {
		if n, isInt := p[0].(int); isInt {
			return n, nil
		}
		return nil, nil
	}
	layout := time.RFC3339Nano
	if len(p) == 2 {
		if layout, ok = p[1].(string); !ok {
			return nil, fmt.Errorf("parseTime's layout must be text such as 2006-01-02T15:04:05")
		}
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return nil, nil
	}
	return int(t.UnixMilli()), nil
}

// formatTimeFunction: formatTime(ms[, layout]) in UTC.
func formatTimeFunction(p ...any) (any, error) {
	if len(p) == 0 || len(p) > 2 {
		return nil, fmt.Errorf("formatTime takes milliseconds and a layout")
	}
	ms, ok := p[0].(int)
	if f, isFloat := p[0].(float64); isFloat && math.Abs(f) < 1e15 {
		ms, ok = int(f), true
	}
	if !ok {
		return nil, nil
	}
	layout := timeLayout
	if len(p) == 2 {
		if layout, ok = p[1].(string); !ok {
			return nil, fmt.Errorf("formatTime's layout must be text")
		}
	}
	return time.UnixMilli(int64(ms)).UTC().Format(layout), nil
}

// readFunction: read(bytes, offset, type) with the types u8 i8, u16 i16 u32 i32
// u64 i64 f32 f64 each with be or le behind it; nil beyond the end.
func readFunction(p ...any) (any, error) {
	if len(p) != 3 {
		return nil, fmt.Errorf("read takes bytes, an offset and a type")
	}
	b, isBytes := bytesOf(p[0])
	at, isInt := p[1].(int)
	kind, isText := p[2].(string)
	if p[0] == nil {
		return nil, nil
	}
	if !isBytes || !isInt || !isText {
		return nil, fmt.Errorf("read takes bytes, an offset and a type")
	}
	if at < 0 {
		at += len(b)
	}
	name, order, size, err := numberKind("read", kind)
	if err != nil {
		return nil, err
	}
	if at < 0 || at > len(b)-size {
		return nil, nil
	}
	return readNumber(name, b[at:at+size], order), nil
}

// numberKind reads a type of read and pack.
func numberKind(function, kind string) (name string, order binary.ByteOrder, size int, err error) {
	order = binary.BigEndian
	name = strings.TrimSuffix(kind, "be")
	if n, little := strings.CutSuffix(kind, "le"); little {
		name, order = n, binary.LittleEndian
	}
	size, known := map[string]int{"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "f32": 4, "f64": 8}[name]
	if !known || (size > 1 && name == kind) {
		return "", nil, 0, fmt.Errorf("%s knows no type %q; it knows u8, i8, u16be, u16le, … f64le", function, kind)
	}
	return name, order, size, nil
}

func readNumber(name string, b []byte, order binary.ByteOrder) any {
	switch name {
	case "u8":
		return int(b[0])
	case "i8":
		return int(int8(b[0]))
	case "u16":
		return int(order.Uint16(b))
	case "i16":
		return int(int16(order.Uint16(b)))
	case "u32":
		return int(order.Uint32(b))
	case "i32":
		return int(int32(order.Uint32(b)))
	case "i64":
		return int(int64(order.Uint64(b)))
	case "f32":
		return float64(math.Float32frombits(order.Uint32(b)))
	case "f64":
		return math.Float64frombits(order.Uint64(b))
	}
	if u := order.Uint64(b); u > math.MaxInt64 {
		return float64(u)
	}
	return int(order.Uint64(b))
}

// readTextFunction: readText(bytes, offset, length) up to a NUL.
func readTextFunction(p ...any) (any, error) {
	if len(p) != 3 {
		return nil, fmt.Errorf("readText takes bytes, an offset and a length")
	}
	b, isBytes := bytesOf(p[0])
	at, isInt := p[1].(int)
	n, isLen := p[2].(int)
	if !isBytes || !isInt || !isLen || at < 0 || n < 0 || at > len(b) || n > len(b)-at {
		return nil, nil
	}
	text, _, _ := strings.Cut(string(b[at:at+n]), "\x00")
	return validText(text), nil
}

// thingNameFunction: thingName(text) as the Thing would be named.
func thingNameFunction(p ...any) (any, error) {
	v, err := one("thingName", p)
	if s, ok := v.(string); ok && err == nil {
		return ThingName(s)
	}
	return nil, err
}

// literalFunction: literal(text) writes text so that a template means it as it stands.
func literalFunction(p ...any) (any, error) {
	v, err := one("literal", p)
	if s, ok := v.(string); ok && err == nil {
		return strings.ReplaceAll(s, "${", "$${"), nil
	}
	return nil, err
}
