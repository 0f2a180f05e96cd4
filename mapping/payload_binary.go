package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// normalise turns what a binary decoder yields into the kinds that JSON has,
// and checks the limits.
func normalise(v any, maxItems int) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int, float64, []byte:
		return v, nil
	case int64:
		return int(v), nil
	case uint64:
		return unsigned(v), nil
	case float32:
		return float64(v), nil
	case big.Int:
		f, _ := new(big.Float).SetInt(&v).Float64()
		return f, nil
	case time.Time:
		return int(v.UnixMilli()), nil
	case cbor.Tag:
		return normalise(v.Content, maxItems)
	case []any:
		if len(v) > maxItems {
			return nil, errListTooLong
		}
		for i := range v {
			item, err := normalise(v[i], maxItems)
			if err != nil {
				return nil, err
			}
			v[i] = item
		}
		return v, nil
	case map[any]any:
		if len(v) > maxItems {
			return nil, errListTooLong
		}
		m := make(map[string]any, len(v))
		for k, item := range v {
			n, err := normalise(item, maxItems)
			if err != nil {
				return nil, err
			}
			m[keyText(k)] = n
		}
		return m, nil
	}
	return nil, fmt.Errorf("a value of kind %T cannot be used", v)
}

func keyText(k any) string {
	if s, ok := k.(string); ok {
		return validText(s)
	}
	return validText(fmt.Sprint(k))
}

func unsigned(u uint64) any {
	if u > math.MaxInt64 {
		return float64(u)
	}
	return int(u)
}

var errNotMsgpack = errors.New("not MessagePack")

// decodeMsgpack reads one MessagePack value; lengths are checked against the
// bytes that are there before anything is made.
func decodeMsgpack(b []byte, lim Limits) (any, error) {
	r := msgpackReader{b: b, max: lim.ListItems}
	v, err := r.value(0)
	if err == nil && len(r.b) != 0 {
		err = errNotMsgpack
	}
	return v, err
}

type msgpackReader struct {
	b   []byte
	max int
}

func (r *msgpackReader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.b)) {
		return nil, errNotMsgpack
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out, nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (r *msgpackReader) uint(size int) (uint64, error) {
	b, err := r.take(uint64(size))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-size:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (r *msgpackReader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	head, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch c := head[0]; {
	case c < 0x80:
		return int(c), nil
	case c < 0x90:
		return r.object(uint64(c&0x0f), depth)
	case c < 0xa0:
		return r.list(uint64(c&0x0f), depth)
	case c < 0xc0:
		return r.text(uint64(c & 0x1f))
	case c >= 0xe0:
		return int(int8(c)), nil
	default:
		return r.long(c, depth)
	}
}

// long reads the values whose head byte is 0xc0 to 0xdf.
func (r *msgpackReader) long(c byte, depth int) (any, error) {
	switch c {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xc4, 0xc5, 0xc6:
		n, err := r.uint(1 << (c - 0xc4))
		if err != nil {
			return nil, err
		}
		b, err := r.take(n)
		return append([]byte{}, b...), err
	case 0xc7, 0xc8, 0xc9:
		n, err := r.uint(1 << (c - 0xc7))
		if err != nil {
			return nil, err
		}
		return r.extension(n)
	case 0xca:
		n, err := r.uint(4)
		return float64(math.Float32frombits(uint32(n))), err
	case 0xcb:
		n, err := r.uint(8)
		return math.Float64frombits(n), err
	case 0xcc, 0xcd, 0xce, 0xcf:
		n, err := r.uint(1 << (c - 0xcc))
		return unsigned(n), err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, err := r.uint(size)
		shift := 64 - 8*size
		return int(int64(n<<shift) >> shift), err
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return r.extension(1 << (c - 0xd4))
	case 0xd9, 0xda, 0xdb:
		n, err := r.uint(1 << (c - 0xd9))
		if err != nil {
			return nil, err
		}
		return r.text(n)
	case 0xdc, 0xdd, 0xde, 0xdf:
		n, err := r.uint(2 << (c & 1))
		if err != nil {
			return nil, err
		}
		if c <= 0xdd {
			return r.list(n, depth)
		}
		return r.object(n, depth)
	}
	return nil, errNotMsgpack
}

func (r *msgpackReader) text(n uint64) (any, error) {
	b, err := r.take(n)
	return validText(string(b)), err
}

// fits checks a count against the limit and the bytes left.
func (r *msgpackReader) fits(n uint64) error {
	if n > uint64(r.max) {
		return errListTooLong
	}
	if n > uint64(len(r.b)) {
		return errNotMsgpack
	}
	return nil
}

func (r *msgpackReader) list(n uint64, depth int) (any, error) {
	if err := r.fits(n); err != nil {
		return nil, err
	}
	out := make([]any, 0, n)
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *msgpackReader) object(n uint64, depth int) (any, error) {
	if err := r.fits(n); err != nil {
		return nil, err
	}
	out := make(map[string]any, n)
	for range n {
		k, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if key := keyText(k); out[key] == nil {
			out[key] = v
		}
	}
	return out, nil
}

// extension reads the time extension as milliseconds and any other as its bytes.
func (r *msgpackReader) extension(n uint64) (any, error) {
	kind, err := r.take(1)
	if err != nil {
		return nil, err
	}
	b, err := r.take(n)
	if err != nil || kind[0] != 0xff {
		return append([]byte{}, b...), err
	}
	switch n {
	case 4:
		return int(binary.BigEndian.Uint32(b)) * 1000, nil
	case 8:
		u := binary.BigEndian.Uint64(b)
		return int(u&(1<<34-1))*1000 + int(u>>34)/1_000_000, nil
	case 12:
		sec := int64(binary.BigEndian.Uint64(b[4:]))
		if sec > maxMillis/1000 || sec < -maxMillis/1000 {
			return nil, errNotMsgpack
		}
		return int(sec)*1000 + int(binary.BigEndian.Uint32(b))/1_000_000, nil
	}
	return append([]byte{}, b...), nil
}
