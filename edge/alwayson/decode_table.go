package alwayson

// table reads an info table that stands at the given depth, counted from 1.
// Any marker but 0 says that a field or row follows (rule I1).
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

// row reads a row's cells, as many as there are (rule I2); those beyond the
// fields are read and dropped (rule I3).
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
