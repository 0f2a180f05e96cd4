package restjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	"thingbridge/edge/alwayson"
)

// Value reads a JSON value as the field f wants it: by f.Type, or by its looks
// (Infer) where that is VARIANT or NOTHING. null is NOTHING, whatever the type.
// The error is a *FitError.
func Value(raw json.RawMessage, f alwayson.FieldDefinition) (alwayson.Value, error) {
	return newReader().value(raw, f)
}

// maxCells bounds the tables of one body together, as the wire does those of one
// message. Every row has a cell for every column, also where the JSON names none, so
// that a short body could make more cells than there is memory.
const maxCells = alwayson.DefaultCells

// reader reads the values of one body.
type reader struct{ left int } // cells

func newReader() *reader { return &reader{left: maxCells} }

func (r *reader) value(raw json.RawMessage, f alwayson.FieldDefinition) (alwayson.Value, error) {
	raw = bytes.TrimSpace(raw)
	looks := Infer(raw)
	t := f.Type
	if t == alwayson.TypeVariant || t == alwayson.TypeNothing {
		if typed, inner, ok := variant(raw, looks); ok {
			return r.value(inner, typed)
		}
		t = looks
	}
	if looks == alwayson.TypeNothing {
		if len(raw) == 0 {
			return alwayson.Value{}, &FitError{Type: t}
		}
		return alwayson.Value{}, nil
	}
	if t == alwayson.TypeInfoTable && looks != alwayson.TypeString {
		table, err := r.table(raw, f.Fields)
		return alwayson.NewTable(table), err
	}
	v, fits := r.scalar(raw, looks, t)
	if !fits {
		return alwayson.Value{}, &FitError{Type: t}
	}
	return v, nil
}

// variant reads a value that says what type it is: {"baseType", "value"}, as Lua
// Script Resources push them.
func variant(raw json.RawMessage, looks alwayson.BaseType) (f alwayson.FieldDefinition, inner json.RawMessage, ok bool) {
	if looks != alwayson.TypeJSON || raw[0] != '{' {
		return f, nil, false
	}
	var object map[string]json.RawMessage
	var name string
	if json.Unmarshal(raw, &object) != nil || len(object) != 2 || object["value"] == nil || json.Unmarshal(object["baseType"], &name) != nil {
		return f, nil, false
	}
	f.Type, ok = alwayson.ParseBaseType(name)
	return f, object["value"], ok && f.Type != alwayson.TypeVariant
}

// scalar reads a JSON value that is no table and looks like the one type as the other.
func (r *reader) scalar(raw json.RawMessage, looks, t alwayson.BaseType) (alwayson.Value, bool) {
	switch {
	case t == alwayson.TypeJSON:
		return alwayson.NewText(t, string(raw)), true
	case looks == alwayson.TypeString:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return alwayson.Value{}, false
		}
		if t.IsText() {
			return alwayson.NewText(t, s), true
		}
		return r.fromText(s, t)
	case t.IsText():
		return alwayson.NewText(t, string(raw)), true
	case t == alwayson.TypeLocation:
		var at struct{ Latitude, Longitude, Elevation float64 }
		if json.Unmarshal(raw, &at) != nil || looks != alwayson.TypeLocation {
			return alwayson.Value{}, false
		}
		return alwayson.NewLocation(alwayson.Location(at)), true
	case looks == alwayson.TypeBoolean:
		return numberAs(alwayson.NewBoolean(raw[0] == 't'), t)
	case looks == alwayson.TypeNumber:
		return number(string(raw), t)
	}
	return alwayson.Value{}, false
}

// number reads a JSON number; a whole one keeps all its digits where t does.
func number(text string, t alwayson.BaseType) (alwayson.Value, bool) {
	if t != alwayson.TypeNumber {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return numberAs(alwayson.NewLong(n), t)
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return alwayson.Value{}, false
	}
	return numberAs(alwayson.NewNumber(n), t)
}

// FitError says that a JSON value cannot be what it should be.
type FitError struct {
	Place string // row and column inside a table; empty: the value itself
	Type  alwayson.BaseType
	Cells int // of a table that has too many; 0: it is something else
}

func (e *FitError) Error() string {
	if e.Cells > 0 {
		text := fmt.Sprintf("is too large: %d rows times columns, and tables have %d cells at most, all together", e.Cells, maxCells)
		if e.Place != "" {
			text += ", in " + e.Place
		}
		return text
	}
	if e.Place != "" {
		return fmt.Sprintf("does not fit: %s is no %s", e.Place, e.Type)
	}
	return "does not fit base type " + e.Type.String()
}

// jsonField is a field definition in a REST info table.
type jsonField struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	BaseType    string          `json:"baseType"`
	Ordinal     float64         `json:"ordinal"`
	Aspects     json.RawMessage `json:"aspects"`
}

// table reads {dataShape, rows} or a plain list of objects. Columns are those
// of the data shape, else the declared fields, else what the rows hold.
func (r *reader) table(raw json.RawMessage, declared []alwayson.FieldDefinition) (*alwayson.InfoTable, error) {
	var full struct {
		DataShape struct {
			FieldDefinitions map[string]jsonField `json:"fieldDefinitions"`
		} `json:"dataShape"`
		Rows []map[string]json.RawMessage `json:"rows"`
	}
	if len(raw) > 0 && raw[0] == '[' {
		if json.Unmarshal(raw, &full.Rows) != nil {
			return nil, &FitError{Type: alwayson.TypeInfoTable}
		}
	} else if json.Unmarshal(raw, &full) != nil {
		return nil, &FitError{Type: alwayson.TypeInfoTable}
	}
	fields := declared
	if len(full.DataShape.FieldDefinitions) > 0 {
		fields = shapeFields(full.DataShape.FieldDefinitions)
	}
	if len(fields) == 0 {
		fields = inferFields(full.Rows)
	}
	cells := len(full.Rows) * len(fields)
	if r.left -= cells; r.left < 0 {
		return nil, &FitError{Type: alwayson.TypeInfoTable, Cells: cells}
	}
	table := &alwayson.InfoTable{}
	for _, f := range fields {
		table.Fields = append(table.Fields, alwayson.Field{Name: f.Name, Description: f.Description, Type: f.Type})
	}
	for n, row := range full.Rows {
		cells, err := r.rowCells(row, fields)
		if err != nil {
			return nil, inRow(err, n)
		}
		table.Rows = append(table.Rows, cells)
	}
	return table, nil
}

func (r *reader) rowCells(row map[string]json.RawMessage, fields []alwayson.FieldDefinition) ([]alwayson.Value, error) {
	cells := make([]alwayson.Value, len(fields))
	for i, f := range fields {
		cell, there := row[f.Name]
		if !there {
			continue
		}
		var err error
		if cells[i], err = r.value(cell, f); err != nil {
			return nil, inColumn(err, f.Name)
		}
	}
	return cells, nil
}

// inColumn and inRow say where in a table a value does not fit.
func inColumn(err error, name string) error {
	if e, ok := err.(*FitError); ok && e.Place == "" {
		e.Place = "[" + name + "]"
	} else if ok {
		e.Place = "[" + name + "] " + e.Place
	}
	return err
}

func inRow(err error, n int) error {
	if e, ok := err.(*FitError); ok {
		e.Place = fmt.Sprintf("row %d %s", n+1, e.Place)
	}
	return err
}

func shapeFields(defs map[string]jsonField) []alwayson.FieldDefinition {
	names := make([]string, 0, len(defs))
	for name := range defs {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := defs[names[i]], defs[names[j]]
		if a.Ordinal != b.Ordinal {
			return a.Ordinal < b.Ordinal
		}
		return names[i] < names[j]
	})
	var fields []alwayson.FieldDefinition
	for _, name := range names {
		t, ok := alwayson.ParseBaseType(defs[name].BaseType)
		if !ok {
			t = alwayson.TypeVariant
		}
		fields = append(fields, alwayson.FieldDefinition{Name: name, Description: defs[name].Description, Type: t})
	}
	return fields
}

func inferFields(rows []map[string]json.RawMessage) []alwayson.FieldDefinition {
	types := map[string]alwayson.BaseType{}
	var names []string
	for _, row := range rows {
		for name, cell := range row {
			t := Infer(cell)
			old, seen := types[name]
			switch {
			case !seen:
				names = append(names, name)
				types[name] = t
			case old == alwayson.TypeNothing:
				types[name] = t
			case t != old && t != alwayson.TypeNothing:
				types[name] = alwayson.TypeVariant
			}
		}
	}
	sort.Strings(names)
	var fields []alwayson.FieldDefinition
	for _, name := range names {
		t := types[name]
		if t == alwayson.TypeNothing {
			t = alwayson.TypeVariant
		}
		fields = append(fields, alwayson.FieldDefinition{Name: name, Type: t})
	}
	return fields
}
