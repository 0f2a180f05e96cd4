package mapping

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// sendFormats are what a payload that is sent can be encoded as. Otherwise it is
// text, or the bytes that a lone expression yields.
var sendFormats = []string{"cbor", "msgpack"}

// Encode writes a value as a rule with `format: cbor` or `msgpack` sends it.
func Encode(format string, v any) ([]byte, error) {
	for _, f := range sendFormats {
		if f == format {
			return encodePayload(format, v)
		}
	}
	return nil, fmt.Errorf("nothing is sent as %q", format)
}

// Decode reads a payload as a rule with that format does.
func Decode(format string, payload []byte) (any, error) {
	var m message
	m.read(&Input{Payload: payload}, format, "", Options{}.withDefaults().Limits)
	return m.whole(), m.err
}

// encodePayload writes a value: whole numbers as integers, others in 64 bits, bytes
// as bytes, members of objects by name.
func encodePayload(format string, v any) ([]byte, error) {
	v, err := plainNumbers(v, 0)
	if err != nil {
		return nil, err
	}
	if format == "msgpack" {
		return appendMsgpack(nil, v)
	}
	return cborEncoding.Marshal(v)
}

var cborEncoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// plainNumbers makes integers of whole numbers, and checks the depth.
func plainNumbers(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch v := plainValue(v).(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return int(v), nil
		}
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			item, err := plainNumbers(v[i], depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = item
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			item, err := plainNumbers(v[k], depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = item
		}
		return out, nil
	default:
		return v, nil
	}
}

func appendMsgpack(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, 0xc0), nil
	case bool:
		if v {
			return append(dst, 0xc3), nil
		}
		return append(dst, 0xc2), nil
	case int:
		return appendMsgpackInt(dst, int64(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(v)), nil
	case string:
		return append(appendMsgpackHead(dst, len(v), 0xa0, 32, 0xd9), v...), nil
	case []byte:
		return append(appendMsgpackHead(dst, len(v), 0, 0, 0xc4), v...), nil
	case []any:
		dst = appendMsgpackHead(dst, len(v), 0x90, 16, 0xdb)
		for _, item := range v {
			var err error
			if dst, err = appendMsgpack(dst, item); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case map[string]any:
		dst = appendMsgpackHead(dst, len(v), 0x80, 16, 0xdd)
		for _, k := range sortedKeys(v) {
			dst = append(appendMsgpackHead(dst, len(k), 0xa0, 32, 0xd9), k...)
			var err error
			if dst, err = appendMsgpack(dst, v[k]); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
	return nil, fmt.Errorf("%s cannot be sent as MessagePack", kindOf(v))
}

// appendMsgpackHead writes a length: within the head byte when it is below small, else
// behind wide (8 bits), wide+1 (16) or wide+2 (32). Lists and objects have no form of 8 bits.
func appendMsgpackHead(dst []byte, n int, head byte, small int, wide byte) []byte {
	switch {
	case n < small:
		return append(dst, head|byte(n))
	case n <= math.MaxUint8 && (wide == 0xd9 || wide == 0xc4):
		return append(dst, wide, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, wide+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, wide+2), uint32(n))
}

func appendMsgpackInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0 && n < 128, n < 0 && n >= -32:
		return append(dst, byte(n))
	case n >= 0 && n <= math.MaxUint8:
		return append(dst, 0xcc, byte(n))
	case n >= 0 && n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n >= 0 && n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	case n >= 0:
		return binary.BigEndian.AppendUint64(append(dst, 0xcf), uint64(n))
	case n >= math.MinInt8:
		return append(dst, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
}

// value is what a template with a format is filled to: what its lone expression
// yields, else its JSON.
func (t *template) value(s *scope) (any, error) {
	if t == nil {
		return nil, nil
	}
	if len(t.parts) == 1 && t.parts[0].x != nil {
		return s.eval(t.parts[0].x)
	}
	text, err := t.payload(s)
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(text, maxListItems)
	if err != nil {
		return nil, fmt.Errorf("the payload, once filled, is %w", err)
	}
	return v, nil
}

// render makes the payload of a message that is sent.
func (r *sendRule) render(s *scope) ([]byte, error) {
	if r.format == "" || r.payload == nil || len(r.payload.parts) == 0 {
		return r.payload.payload(s)
	}
	v, err := r.payload.value(s)
	if err != nil {
		return nil, err
	}
	return encodePayload(r.format, v)
}

// packFunction: pack(type, value, type, value, …) makes bytes of numbers, with
// read's types; type "bytes" takes bytes or text as they are.
func packFunction(p ...any) (any, error) {
	if len(p) == 0 || len(p)%2 != 0 {
		return nil, errors.New("pack takes types and values in turn")
	}
	out := make([]byte, 0, 4*len(p))
	for i := 0; i < len(p); i += 2 {
		kind, ok := p[i].(string)
		if !ok {
			return nil, errors.New("pack takes types and values in turn")
		}
		if p[i+1] == nil {
			return nil, nil
		}
		if kind == "bytes" {
			b, ok := bytesOf(p[i+1])
			if !ok {
				return nil, fmt.Errorf("pack takes bytes or text as bytes, not %s", kindOf(p[i+1]))
			}
			out = append(out, b...)
			continue
		}
		name, order, size, err := numberKind("pack", kind)
		if err != nil {
			return nil, err
		}
		if out, err = appendNumber(out, name, order, size, p[i+1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendNumber(dst []byte, name string, order binary.ByteOrder, size int, v any) ([]byte, error) {
	f, isNumber := asFloat(v)
	if !isNumber {
		return nil, &Refusal{Text: fmt.Sprintf("a number is wanted, not %s", kindOf(v))}
	}
	var bits uint64
	switch name {
	case "f32":
		bits = uint64(math.Float32bits(float32(f)))
	case "f64":
		bits = math.Float64bits(f)
	default:
		n, err := fitting(name, 8*size, v, f)
		if err != nil {
			return nil, err
		}
		bits = uint64(n)
	}
	var wide [8]byte
	if order == binary.BigEndian {
		binary.BigEndian.PutUint64(wide[:], bits)
		return append(dst, wide[8-size:]...), nil
	}
	binary.LittleEndian.PutUint64(wide[:], bits)
	return append(dst, wide[:size]...), nil
}

// fitting gives the nearest whole number, if it goes into so many bits.
func fitting(name string, bits int, v any, f float64) (int64, error) {
	low, high := -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)
	if name[0] == 'u' {
		low, high = 0, math.Ldexp(1, bits)
	}
	n, whole := v.(int)
	f = math.Round(f) // 1.1 * 100 is 110.00000000000001
	switch {
	case whole && bits == 64 && (n >= 0 || low < 0):
		return int64(n), nil // a float64 does not tell the last of them
	case !(f >= low && f < high): // NaN, too
		return 0, &Refusal{Text: fmt.Sprintf("%v is not from %.0f to %.0f", v, low, high-1)}
	case f >= math.MaxInt64: // of u64
		return int64(uint64(f)), nil
	}
	return int64(f), nil
}

// toBase64Function: toBase64(bytes or text).
func toBase64Function(p ...any) (any, error) {
	v, err := one("toBase64", p)
	if b, ok := bytesOf(v); ok && err == nil {
		return base64.StdEncoding.EncodeToString(b), nil
	}
	return nil, err
}
