package simulator

import (
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// params are the inputs of a service: one row, one field each.
type params struct{ t *alwayson.InfoTable }

// get gives an input; NOTHING where it was not given.
func (p params) get(name string) alwayson.Value {
	if p.t == nil || len(p.t.Rows) == 0 {
		return alwayson.Value{}
	}
	return p.t.Cell(0, name).Unwrap()
}

// text gives an input as text, as far as it can be one.
func (p params) text(name string) string {
	v, _ := restjson.Coerce(p.get(name), alwayson.TypeString)
	return strings.Clone(v.Text())
}

func (p params) number(name string, otherwise float64) float64 {
	if v, fits := restjson.Coerce(p.get(name), alwayson.TypeNumber); fits {
		return v.Number()
	}
	return otherwise
}

func (p params) boolean(name string, otherwise bool) bool {
	if v, fits := restjson.Coerce(p.get(name), alwayson.TypeBoolean); fits {
		return v.Bool()
	}
	return otherwise
}

// millis gives a time, which may come as DATETIME, number or text.
func (p params) millis(name string, otherwise int64) int64 {
	if v, fits := restjson.Coerce(p.get(name), alwayson.TypeDateTime); fits {
		return v.Millis()
	}
	return otherwise
}

// table gives an INFOTABLE input, which may come as JSON; nil if there is none.
func (p params) table(name string) *alwayson.InfoTable {
	v := p.get(name)
	if v.Type() != alwayson.TypeInfoTable {
		v, _ = restjson.Coerce(v, alwayson.TypeInfoTable)
	}
	return v.Table()
}

// fieldsOf reads field definitions from a table: a row each with name,
// description and baseType, or, without rows, the table's own fields.
func fieldsOf(t *alwayson.InfoTable) []alwayson.FieldDefinition {
	if t == nil {
		return nil
	}
	var fields []alwayson.FieldDefinition
	if len(t.Rows) == 0 {
		for _, f := range t.Fields {
			fields = append(fields, alwayson.FieldDefinition{Name: f.Name, Description: f.Description, Type: f.Type})
		}
		return fields
	}
	for row := range t.Rows {
		name := t.Cell(row, "name").Unwrap().Text()
		if name == "" {
			continue
		}
		fields = append(fields, alwayson.FieldDefinition{
			Name: strings.Clone(name), Description: strings.Clone(t.Cell(row, "description").Unwrap().Text()),
			Type:      baseType(t.Cell(row, "baseType").Unwrap().Text(), alwayson.TypeString),
			DataShape: strings.Clone(t.Cell(row, "dataShape").Unwrap().Text()),
		})
	}
	return fields
}

// baseType reads a base type's name.
func baseType(name string, otherwise alwayson.BaseType) alwayson.BaseType {
	if t, known := alwayson.ParseBaseType(name); known {
		return t
	}
	return otherwise
}

// columns makes the fields of a result table: "name" is a STRING, "name:TYPE" of that type.
func columns(names ...string) *alwayson.InfoTable {
	t := &alwayson.InfoTable{}
	for _, n := range names {
		name, typeName, typed := strings.Cut(n, ":")
		f := alwayson.Field{Name: name, Type: alwayson.TypeString}
		if typed {
			f.Type = baseType(typeName, alwayson.TypeString)
		}
		t.Fields = append(t.Fields, f)
	}
	return t
}

// addRow adds a row; strings, numbers and booleans become values.
func addRow(t *alwayson.InfoTable, cells ...any) {
	row := make([]alwayson.Value, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case string:
			row[i] = alwayson.NewText(t.Fields[i].Type, c)
		case float64:
			row[i] = alwayson.NewNumber(c)
		case bool:
			row[i] = alwayson.NewBoolean(c)
		case int64:
			row[i] = alwayson.NewDateTime(c)
		case alwayson.Value:
			row[i] = c
		}
	}
	t.Rows = append(t.Rows, row)
}
