package alwayson

import "encoding/binary"

const (
	headerSize   = 15
	version      = 1
	tableMarker  = 1 // more fields or rows follow
	longString   = 1 << 31
	shortString  = 128 // lengths below take one byte
	windowSize   = 4096
	windowString = 1024 // longer texts get their own memory
	guessFactor  = 8    // bytes that may be allocated on guesses, per byte of input
	rowBytes     = 24   // memory of a row's slice header
	cellBytes    = 40   // memory of a Value
)

// Default limits, used where a field of Limits is zero.
const (
	DefaultDepth  = 16
	DefaultFields = 10_000
	DefaultRows   = 200_000
	DefaultCells  = 500_000
)

func (l Limits) withDefaults() Limits {
	def := func(n, d int) int {
		if n <= 0 {
			return d
		}
		return n
	}
	return Limits{
		Depth:  min(def(l.Depth, DefaultDepth), 1000),
		Fields: def(l.Fields, DefaultFields),
		Rows:   def(l.Rows, DefaultRows),
		Cells:  def(l.Cells, DefaultCells),
	}
}

// decoder is the one cursor that slices the input. Its first error sticks:
// every read after it returns zero and moves nothing.
type decoder struct {
	b    []byte
	off  int
	base int // where b starts in the caller's input, for error offsets
	left Limits
	err  error
	// spare is how many bytes may still be allocated on a guess.
	spare int

	window   string // copy of b[windowAt:][:len(window)] that texts are cut from
	windowAt int
}

func newDecoder(b []byte, base int, lim Limits) decoder {
	return decoder{b: b, base: base, left: lim.withDefaults(), spare: guessFactor * len(b)}
}

func (d *decoder) fail(at int, what string, err error) {
	if d.err == nil {
		d.err = &DecodeError{Offset: d.base + at, What: what, Err: err}
	}
}

func (d *decoder) rest() int { return len(d.b) - d.off }

// need reports whether n more bytes are there, and fails if not.
func (d *decoder) need(n int, what string) bool {
	if d.err != nil {
		return false
	}
	if n > len(d.b)-d.off {
		d.fail(d.off, what, ErrTruncated)
		return false
	}
	return true
}

func (d *decoder) u8(what string) byte {
	if !d.need(1, what) {
		return 0
	}
	b := d.b[d.off]
	d.off++
	return b
}

func (d *decoder) u16(what string) int {
	if !d.need(2, what) {
		return 0
	}
	n := binary.BigEndian.Uint16(d.b[d.off:])
	d.off += 2
	return int(n)
}

func (d *decoder) u32(what string) uint32 {
	if !d.need(4, what) {
		return 0
	}
	n := binary.BigEndian.Uint32(d.b[d.off:])
	d.off += 4
	return n
}

func (d *decoder) u64(what string) uint64 {
	if !d.need(8, what) {
		return 0
	}
	n := binary.BigEndian.Uint64(d.b[d.off:])
	d.off += 8
	return n
}

// textLength reads the length of a string: one byte below 128, else four with
// the top bit of the first set (rule T1).
func (d *decoder) textLength(what string) int {
	if !d.need(1, what) {
		return 0
	}
	if d.b[d.off] < shortString {
		return int(d.u8(what))
	}
	return int(d.u32(what) &^ longString)
}

func (d *decoder) text(what string) string {
	n := d.textLength(what)
	return d.cut(n, what)
}

// cut takes the next n bytes as a string. Short strings are cut from a copied
// window of the input, so that a message's texts share few allocations while no
// text keeps more than a window alive.
func (d *decoder) cut(n int, what string) string {
	if !d.need(n, what) || n == 0 {
		return ""
	}
	at := d.off
	d.off += n
	if n > windowString {
		return string(d.b[at:d.off])
	}
	if from := at - d.windowAt; from+n <= len(d.window) {
		return d.window[from : from+n]
	}
	d.window = string(d.b[at:min(at+windowSize, len(d.b))])
	d.windowAt = at
	return d.window[:n]
}

// ParseValue decodes one primitive at the start of b and returns how many bytes it took.
func ParseValue(b []byte, lim Limits) (Value, int, error) {
	d := newDecoder(b, 0, lim)
	v := d.value(0)
	if d.err != nil {
		return Value{}, 0, d.err
	}
	return v, d.off, nil
}

// ParseTable decodes one info table, without a type byte before it, at the
// start of b and returns how many bytes it took.
func ParseTable(b []byte, lim Limits) (*InfoTable, int, error) {
	d := newDecoder(b, 0, lim)
	t := d.table(1)
	if d.err != nil {
		return nil, 0, d.err
	}
	return t, d.off, nil
}

// value reads a primitive that stands inside depth levels of nesting.
func (d *decoder) value(depth int) Value {
	var variants int
	for {
		at := d.off
		t := BaseType(d.u8("base type"))
		if d.err != nil {
			return Value{}
		}
		if t != TypeVariant {
			v := d.plain(t, depth, at)
			v.variants = uint16(variants)
			return v
		}
		variants++
		depth++
		if depth > d.left.Depth {
			d.fail(at, "VARIANT", ErrTooDeep)
			return Value{}
		}
	}
}

// plain reads the value of a primitive whose type byte, at offset at, was t.
func (d *decoder) plain(t BaseType, depth, at int) Value {
	v := Value{kind: kindOf(t)}
	switch {
	case t.IsText():
		v.text = d.text("text")
	case t == TypeNothing:
	case t == TypeNumber, t == TypeDateTime, t == TypeLong:
		v.num = d.u64("8-byte value")
	case t == TypeInteger:
		v.num = uint64(int64(int32(d.u32("INTEGER"))))
	case t == TypeBoolean:
		if d.u8("BOOLEAN") != 0 { // V1
			v.num = 1
		}
	case t == TypeInfoTable:
		v.table = d.table(depth + 1)
	case t == TypeLocation:
		v.text = d.cut(locationSize, "LOCATION")
	case t == TypeBlob, t == TypeImage:
		v.text = d.bytes()
	default:
		d.fail(at, "base type "+t.String(), ErrBadType) // V2
	}
	if d.err != nil {
		return Value{}
	}
	return v
}

func (d *decoder) bytes() string {
	n := d.u32("length of bytes")
	if d.err != nil {
		return ""
	}
	if uint64(n) > uint64(d.rest()) {
		d.fail(d.off-4, "length of bytes", ErrTruncated)
		return ""
	}
	return d.cut(int(n), "bytes")
}

// take counts n against a limit (rule I4).
func (d *decoder) take(left *int, n, at int, what string) bool {
	if d.err != nil {
		return false
	}
	if n > *left {
		d.fail(at, what, ErrTooMany)
		return false
	}
	*left -= n
	return true
}
