package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

const (
	maxListItems = 10_000
	maxDepth     = 64
)

var (
	errNotJSON     = errors.New("not JSON")
	errDepth       = fmt.Errorf("nested deeper than %d levels", maxDepth)
	errListTooLong = errors.New("a list or object is too long")
)

// scanJSON checks that b is one JSON value of bounded depth whose lists and
// objects hold at most maxItems items each.
func scanJSON(b []byte, maxItems int) error {
	s := jsonScanner{b: b, max: maxItems}
	s.space()
	if err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.i != len(b) {
		return errNotJSON
	}
	return nil
}

type jsonScanner struct {
	b   []byte
	i   int
	max int
}

func (s *jsonScanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *jsonScanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *jsonScanner) value(depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	switch c := s.peek(); {
	case c == '{':
		return s.container(depth, '}', true)
	case c == '[':
		return s.container(depth, ']', false)
	case c == '"':
		return s.text()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *jsonScanner) container(depth int, end byte, object bool) error {
	s.i++
	s.space()
	if s.peek() == end {
		s.i++
		return nil
	}
	for n := 1; ; n++ {
		if n > s.max {
			return errListTooLong
		}
		if object {
			if s.peek() != '"' {
				return errNotJSON
			}
			if err := s.text(); err != nil {
				return err
			}
			s.space()
			if s.peek() != ':' {
				return errNotJSON
			}
			s.i++
			s.space()
		}
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		c := s.peek()
		s.i++
		if c == end {
			return nil
		}
		if c != ',' {
			return errNotJSON
		}
		s.space()
	}
}

func (s *jsonScanner) word(w string) error {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return errNotJSON
	}
	s.i += len(w)
	return nil
}

func (s *jsonScanner) text() error {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return nil
		case c < 0x20:
			return errNotJSON
		case c == '\\':
			s.i++
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return errNotJSON
}

func (s *jsonScanner) escape() error {
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.i++
			c := s.peek() | 0x20
			if (c < '0' || c > '9' || s.peek() < '0') && (c < 'a' || c > 'f') {
				return errNotJSON
			}
		}
		return nil
	}
	return errNotJSON
}

func (s *jsonScanner) digits() bool {
	from := s.i
	for s.peek() >= '0' && s.peek() <= '9' {
		s.i++
	}
	return s.i > from
}

func (s *jsonScanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return errNotJSON
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return errNotJSON
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return errNotJSON
		}
	}
	return nil
}

// decodeJSON turns JSON that scanJSON accepted into nil, bool, int, float64,
// string, []any and map[string]any. Of equal keys the first counts. A whole
// number that fits 64 bits is an int, so that it stays exact.
func decodeJSON(b []byte) any { return fromResult(gjson.ParseBytes(b)) }

func fromResult(r gjson.Result) any {
	switch r.Type {
	case gjson.True:
		return true
	case gjson.False:
		return false
	case gjson.Number:
		return parseNumber(r.Raw)
	case gjson.String:
		return validText(r.Str)
	case gjson.JSON:
		if r.IsArray() {
			list := []any{}
			r.ForEach(func(_, v gjson.Result) bool {
				list = append(list, fromResult(v))
				return true
			})
			return list
		}
		m := map[string]any{}
		r.ForEach(func(k, v gjson.Result) bool {
			key := validText(k.Str)
			if _, twice := m[key]; !twice {
				m[key] = fromResult(v)
			}
			return true
		})
		return m
	}
	return nil
}

func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func parseNumber(raw string) any {
	if !strings.ContainsAny(raw, ".eE") { // a failed ParseInt would cost two allocations
		if i, err := strconv.ParseInt(raw, 10, 64); err == nil {
			return int(i)
		}
	}
	f, _ := strconv.ParseFloat(raw, 64)
	return f
}

// parseJSON is scanJSON and decodeJSON in one.
func parseJSON(b []byte, maxItems int) (any, error) {
	if err := scanJSON(b, maxItems); err != nil {
		return nil, err
	}
	return decodeJSON(b), nil
}

// appendAny appends v as compact JSON; keys are sorted, numbers without a JSON
// form become null, anything that is not of JSON becomes its text.
func appendAny(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendText(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendFloat(dst, v)
	case []byte:
		return appendText(dst, base64Text(v))
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendAny(dst, item)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	case deviceVars:
		return appendObject(dst, v.object())
	case rawJSON:
		return append(dst, v...)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return appendText(dst, fmt.Sprint(v))
	}
	return append(dst, b...)
}

// rawJSON is text that is JSON already.
type rawJSON string

func appendObject(dst []byte, m map[string]any) []byte {
	keys := sortedKeys(m)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, k), ':')
		dst = appendAny(dst, m[k])
	}
	return append(dst, '}')
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == 0 {
		return append(dst, '0') // -0 too
	}
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	return append(appendEscaped(dst, s), '"')
}

// appendEscaped appends s as it stands inside the quotes of a JSON string.
func appendEscaped(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < 0x20 || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
