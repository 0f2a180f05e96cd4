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
// the top bit of the first set.
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
		if d.u8("BOOLEAN") != 0 {
			v.num = 1
		}
	case t == TypeInfoTable:
		v.table = d.table(depth + 1)
	case t == TypeLocation:
		v.text = d.cut(locationSize, "LOCATION")
	case t == TypeBlob, t == TypeImage:
		v.text = d.bytes()
	default:
		d.fail(at, "base type "+t.String(), ErrBadType)
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

// take counts n against a limit.
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

// table reads an info table that stands at the given depth, counted from 1.
func (d *decoder) table(depth int) *InfoTable {
	at := d.off
	if depth > d.left.Depth {
		d.fail(at, "INFOTABLE", ErrTooDeep)
		return nil
	}
	if depth > 1 && !d.take(&d.left.Rows, 1, at, "nested tables") {
		return nil
	}
	t := newTable()
	t.Fields = d.fields(depth)
	d.rows(t, depth)
	if d.err != nil {
		return nil
	}
	return t
}

func (d *decoder) fields(depth int) []Field {
	var fields []Field
	for {
		at := d.off
		if d.u8("field marker") == 0 || d.err != nil {
			return fields
		}
		if !d.take(&d.left.Fields, 1, at, "fields") {
			return nil
		}
		if fields == nil {
			fields = make([]Field, 0, d.countFields(at))
		}
		f := Field{Name: d.text("field name"), Description: d.text("field description"), Type: BaseType(d.u8("field base type"))}
		f.Aspects = d.aspects(depth + 1)
		if d.err != nil {
			return nil
		}
		fields = append(fields, f)
	}
}

// countFields looks ahead from the first field's marker and counts fields, at
// most 64, up to one with aspects. It is only a hint for the size to allocate.
func (d *decoder) countFields(at int) int {
	look := decoder{b: d.b, off: at}
	n := 1
	for n < 64 {
		look.off++ // the marker, seen to be there
		for range 2 {
			if length := look.textLength(""); look.need(length, "") {
				look.off += length
			}
		}
		look.u8("")
		if look.u16("") != 0 || look.err != nil || look.rest() == 0 || look.b[look.off] == 0 {
			break
		}
		n++
	}
	return n
}

func (d *decoder) aspects(depth int) []Aspect {
	at := d.off
	n := d.u16("aspect count")
	if d.err != nil || n == 0 {
		return nil
	}
	if depth > d.left.Depth {
		d.fail(at, "aspects", ErrTooDeep)
		return nil
	}
	if 2*n > d.rest() { // a name's length and a type byte at least
		d.fail(at, "aspect count", ErrTruncated)
		return nil
	}
	if !d.take(&d.left.Cells, n, at, "cells and aspects") {
		return nil
	}
	aspects := make([]Aspect, n)
	for i := range aspects {
		aspects[i] = Aspect{Name: d.text("aspect name"), Value: d.value(depth)}
		if d.err != nil {
			return nil
		}
	}
	return aspects
}

// cellSlab hands out rows of cells from blocks that grow with what was read.
type cellSlab struct {
	free  []Value
	taken int
}

func (s *cellSlab) row(n int) []Value {
	if n == 0 {
		return nil
	}
	if n > len(s.free) {
		s.free = make([]Value, max(n, min(s.taken, windowSize)))
	}
	row := s.free[:n:n]
	s.free = s.free[n:]
	s.taken += n
	return row
}

// guessRows makes room for the rows that would follow if they were about as long
// as the first, as far as the message's allowance for guesses goes.
func (d *decoder) guessRows(t *InfoTable, slab *cellSlab, firstSize int) {
	cost := rowBytes + cellBytes*len(t.Fields)
	n := min(d.rest()/firstSize+1, d.spare/cost)
	if n < 1 || d.err != nil {
		return
	}
	d.spare -= n * cost
	t.Rows = append(make([][]Value, 0, n+len(t.Rows)), t.Rows...)
	slab.free = make([]Value, n*len(t.Fields))
}

func (d *decoder) rows(t *InfoTable, depth int) {
	var slab cellSlab
	start := d.off
	for {
		at := d.off
		if d.u8("row marker") == 0 || d.err != nil {
			return
		}
		if !d.take(&d.left.Rows, 1, at, "rows") {
			return
		}
		if len(t.Rows) == 1 {
			d.guessRows(t, &slab, at-start)
		}
		row := d.row(t, &slab, depth)
		if d.err != nil {
			return
		}
		t.Rows = append(t.Rows, row)
	}
}

// row reads a row's cells; those beyond the fields are read and dropped.
func (d *decoder) row(t *InfoTable, slab *cellSlab, depth int) []Value {
	at := d.off
	n := d.u16("cell count")
	if n > d.rest() { // every cell has a type byte
		d.fail(at, "cell count", ErrTruncated)
	}
	if !d.take(&d.left.Cells, n, at, "cells and aspects") {
		return nil
	}
	row := slab.row(min(n, len(t.Fields)))
	for i := range n {
		v := d.value(depth)
		if d.err != nil {
			return nil
		}
		if i < len(row) {
			row[i] = v
		}
	}
	return row
}
