package alwayson

import "slices"

// Column returns the index of the first field of that name, or -1. Names are
// compared with case.
func (t *InfoTable) Column(name string) int {
	if t == nil {
		return -1
	}
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// At returns the cell at a row and column, counted from 0; NOTHING when there is none.
func (t *InfoTable) At(row, column int) Value {
	if t == nil || row < 0 || row >= len(t.Rows) || column < 0 || column >= len(t.Rows[row]) {
		return Value{}
	}
	return t.Rows[row][column]
}

// Cell returns the cell of a row, counted from 0, in the first field of that
// name; NOTHING when there is none.
func (t *InfoTable) Cell(row int, name string) Value { return t.At(row, t.Column(name)) }

// Len returns the number of rows; 0 for a nil table.
func (t *InfoTable) Len() int {
	if t == nil {
		return 0
	}
	return len(t.Rows)
}

// Cells returns how many cells the table has, rows times columns, with those of
// the tables in it, which may stand in fields of INFOTABLE and VARIANT. 0 for a nil table.
func (t *InfoTable) Cells() int {
	if t == nil {
		return 0
	}
	n := len(t.Rows) * len(t.Fields)
	for j := range t.Fields {
		if f := t.Fields[j].Type; f != TypeInfoTable && f != TypeVariant {
			continue
		}
		for i := range t.Rows {
			n += t.At(i, j).Unwrap().Table().Cells()
		}
	}
	return n
}

// Equal reports whether both tables have equal fields and equal rows in the
// same order. A missing cell equals NOTHING. A nil table equals only a nil table.
func (t *InfoTable) Equal(o *InfoTable) bool {
	if t == o {
		return true
	}
	if t == nil || o == nil || len(t.Rows) != len(o.Rows) || !slices.EqualFunc(t.Fields, o.Fields, sameField) {
		return false
	}
	for i := range t.Rows {
		for j := range max(len(t.Rows[i]), len(o.Rows[i])) {
			if !t.At(i, j).Equal(o.At(i, j)) {
				return false
			}
		}
	}
	return true
}

func sameField(a, b Field) bool {
	return a.Name == b.Name && a.Description == b.Description && a.Type == b.Type && slices.EqualFunc(a.Aspects, b.Aspects, sameAspect)
}

func sameAspect(a, b Aspect) bool { return a.Name == b.Name && a.Value.Equal(b.Value) }

// Named is a value with a name: a service's input, a property, a datum of an event.
type Named struct {
	Name  string
	Value Value
}

// OneRow returns a table with one field per cell, of the cell's own type
// (STRING where the cell is NOTHING), and one row: parameters, the data of an
// event, a property to write. Without cells it returns nil: no parameters.
func OneRow(cells ...Named) *InfoTable {
	if len(cells) == 0 {
		return nil
	}
	t := newTable()
	t.Fields = make([]Field, len(cells))
	row := make([]Value, len(cells))
	for i, c := range cells {
		t.Fields[i] = Field{Name: c.Name, Type: c.Value.Type()}
		if c.Value.IsNothing() {
			t.Fields[i].Type = TypeString
		}
		row[i] = c.Value
	}
	t.Rows = append(t.Rows, row)
	return t
}

// resultName is the field that carries a service's result.
const resultName = "result"

// NewResult returns the table that carries a service's result v: one field
// named "result" and one row. A table travels as itself, NOTHING as nil, so
// that NewTable(NewResult(v)) is right for every output type.
func NewResult(v Value) *InfoTable {
	switch v.Type() {
	case TypeNothing:
		return nil
	case TypeInfoTable:
		return v.Table()
	}
	return OneRow(Named{resultName, v})
}

// Result reads a service's result (name "result") or a property by its name
// from a response's content: the first row's cell in that column. For "result"
// a table of any other shape than one field of that name and at most one row
// is an INFOTABLE result and returned itself. Content that is not a table is returned as it is.
func Result(content Value, name string) Value {
	t := content.Table()
	if t == nil {
		return content.Unwrap()
	}
	column := t.Column(name)
	if name == resultName && (column < 0 || len(t.Fields) > 1 || len(t.Rows) > 1) {
		return content.Unwrap()
	}
	return t.At(0, column)
}

// tableWithRow lets a table and the header of its first row be one object.
type tableWithRow struct {
	table InfoTable
	rows  [1][]Value
}

// newTable returns an empty table with room for one row.
func newTable() *InfoTable {
	t := new(tableWithRow)
	t.table.Rows = t.rows[:0]
	return &t.table
}
