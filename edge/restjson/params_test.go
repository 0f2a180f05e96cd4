package restjson

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
)

func TestParams(t *testing.T) {
	const push = `{"rows":[{"values":{"rows":[{"name":"temp","value":{"baseType":"NUMBER","value":21.5},"time":1700000000000,"quality":"GOOD"},
		{"name":"at","value":{"value":1700000000000,"baseType":"DATETIME"},"time":1700000000000,"quality":"GOOD"}],
		"dataShape":{"fieldDefinitions":{"name":{"name":"name","baseType":"STRING","aspects":[]},"time":{"name":"time","baseType":"DATETIME","aspects":[]},
		"quality":{"name":"quality","baseType":"STRING","aspects":[]},"value":{"name":"value","baseType":"VARIANT","aspects":[]}}}}}],
		"dataShape":{"fieldDefinitions":{"values":{"name":"values","baseType":"INFOTABLE","aspects":[]}}}}`
	for _, c := range []struct{ name, body, want string }{
		{"none", `{}`, "NOTHING"},
		{"by their looks", `{"b":true,"a":1,"n":null}`, `a=NUMBER 1 b=BOOLEAN true n=NOTHING`},
		{"one that says its type", `{"at":{"baseType":"DATETIME","value":1700000000000}}`, `at=DATETIME 2023-11-14T22:13:20.000Z`},
		{"one that says a type that is none", `{"at":{"baseType":"MOMENT","value":1}}`, `at=JSON "{\"baseType\":\"MOMENT\",\"value\":1}"`},
		{"one that has more to say", `{"at":{"baseType":"DATETIME","value":1,"x":2}}`, `at=JSON "{\"baseType\":\"DATETIME\",\"value\":1,\"x\":2}"`},
		{"a value that is not of the type it says", `{"at":{"baseType":"INTEGER","value":"many"}}`, "! parameter [at]"},
		{"as a row of a table", `{"dataShape":{"fieldDefinitions":{"n":{"name":"n","baseType":"INTEGER"}}},"rows":[{"n":5}]}`, `n=INTEGER 5`},
		{"as a table without rows", `{"dataShape":{"fieldDefinitions":{"n":{"name":"n","baseType":"INTEGER"}}},"rows":[]}`, "NOTHING"},
		{"as a table of two rows", `{"dataShape":{"fieldDefinitions":{}},"rows":[{"n":5},{"n":6}]}`, "! parameters: 2 rows where one is expected"},
		{"named as the parts of a table are", `{"dataShape":"Pump","rows":[{"n":5}]}`, `dataShape=STRING "Pump" rows=INFOTABLE 1 fields, 1 rows`},
		{"a push of a Lua Script Resource", push, `values=INFOTABLE 4 fields, 2 rows`},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, bad := Params([]byte(c.body), nil)
			got := "NOTHING"
			if bad != nil {
				got = "! " + bad.Text
			} else if table != nil {
				var cells []string
				for i, f := range table.Fields {
					cells = append(cells, f.Name+"="+table.At(0, i).String())
				}
				got = strings.Join(cells, " ")
			}
			if bad == nil && got != c.want || bad != nil && !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	table, _ := Params([]byte(push), nil)
	values := table.Cell(0, "values").Table()
	if v := values.Cell(0, "value"); v.Type() != alwayson.TypeNumber || v.Number() != 21.5 {
		t.Errorf("temp is %s", v)
	}
	if v := values.Cell(1, "value"); v.Type() != alwayson.TypeDateTime || v.Millis() != 1700000000000 {
		t.Errorf("at is %s", v)
	}
}

// sparse is a JSON list of a row with many columns and many rows with none.
func sparse(columns, rows int) string {
	var b strings.Builder
	b.WriteString("[{")
	for i := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":1`, i)
	}
	b.WriteString("}" + strings.Repeat(",{}", rows-1) + "]")
	return b.String()
}

// texts is a table of n texts that are tables themselves.
func texts(n int, text string) string {
	row := `{"x":` + strconv.Quote(text) + `}`
	return `{"dataShape":{"fieldDefinitions":{"x":{"name":"x","baseType":"INFOTABLE"}}},"rows":[` + row + strings.Repeat(","+row, n-1) + `]}`
}

func TestTablesInTextsCountAmongThoseOfTheBody(t *testing.T) {
	for _, c := range []struct {
		name, body string
		fits       bool
	}{
		{"four of 100,000 cells", `{"t":` + texts(4, sparse(100, 1000)) + `}`, true},
		{"five of them", `{"t":` + texts(5, sparse(100, 1000)) + `}`, false},
		{"one that is nested deeper than a body may be", `{"t":` + texts(1, strings.Repeat(`[{"x":`, 40)+"1"+strings.Repeat("}]", 40)) + `}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, bad := Params([]byte(c.body), nil); c.fits != (bad == nil) {
				t.Errorf("answered with %v", bad)
			}
		})
	}
}

func TestAShortBodyDoesNotMakeMoreCellsThanAMessageMayHave(t *testing.T) {
	small := sparse(100, 1000)
	for _, c := range []struct {
		name, body string
		fits       bool
	}{
		{"a table of 100,000 cells", `{"x":` + small + `}`, true},
		{"two of them", `{"x":` + small + `,"y":` + small + `}`, true},
		{"one of 4,000,000, in 20 KB", `{"x":` + sparse(2000, 2000) + `}`, false},
		{"six of 100,000", `{"a":` + small + `,"b":` + small + `,"c":` + small + `,"d":` + small + `,"e":` + small + `,"f":` + small + `}`, false},
		{"six of 100,000 in a table", `{"x":[{"a":` + small + `,"b":` + small + `,"c":` + small + `,"d":` + small + `,"e":` + small + `,"f":` + small + `}]}`, false},
		{"as a text that is a table", `{"dataShape":{"fieldDefinitions":{"x":{"name":"x","baseType":"INFOTABLE"}}},"rows":[{"x":` + sparse(2000, 2000) + `}]}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, bad := Params([]byte(c.body), nil)
			switch {
			case c.fits && bad != nil:
				t.Errorf("refused: %s", bad.Text)
			case !c.fits && (bad == nil || !strings.Contains(bad.Text, "500000 cells at most") || bad.Status != 400):
				t.Errorf("answered with %v", bad)
			}
		})
	}
}

// counting counts what is written and holds none of it.
type counting struct{ all, longest int }

func (c *counting) Write(b []byte) (int, error) {
	c.all += len(b)
	c.longest = max(c.longest, len(b))
	return len(b), nil
}

func TestATableInATableIsWrittenInPieces(t *testing.T) {
	inner := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: strings.Repeat("n", 10_000), Type: alwayson.TypeNumber}}}
	for range 5000 {
		inner.Rows = append(inner.Rows, []alwayson.Value{alwayson.NewNumber(1)})
	}
	table := alwayson.OneRow(alwayson.Named{Name: "result", Value: alwayson.NewTable(inner)})
	var w counting
	if err := WriteTable(&w, table); err != nil {
		t.Fatal(err)
	}
	least := Length(alwayson.NewTable(table))
	if w.all < 50_000_000 || w.longest > 100_000 || least > w.all || least < w.all-100_000 {
		t.Errorf("%d bytes, at most %d at a time; Length says %d", w.all, w.longest, least)
	}
}
