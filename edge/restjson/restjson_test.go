package restjson

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"thingbridge/edge/alwayson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPaths(t *testing.T) {
	thing := func(c alwayson.Characteristic, name string) Target {
		return Target{alwayson.EntityThing, "pump-1", c, name}
	}
	for _, c := range []struct {
		name, path string
		want       Target
		status     int // 0: none
	}{
		{"all properties", "/Thingworx/Things/pump-1/Properties", thing(alwayson.Properties, ""), 0},
		{"a final slash", "/Thingworx/Things/pump-1/Properties/", thing(alwayson.Properties, ""), 0},
		{"a property", "/Thingworx/Things/pump-1/Properties/temp", thing(alwayson.Properties, "temp"), 0},
		{"other letters of case, except in names", "/thingworx/things/pump-1/properties/Temp", thing(alwayson.Properties, "Temp"), 0},
		{"a service", "/Thingworx/Things/pump-1/Services/Reset", thing(alwayson.Services, "Reset"), 0},
		{"an event", "/Thingworx/Things/pump-1/Events/Alarm", thing(alwayson.Events, "Alarm"), 0},
		{"an application key", "/Thingworx/ApplicationKeys/a/Properties", Target{alwayson.EntityApplicationKey, "a", alwayson.Properties, ""}, 0},
		{"a slash in a name", "/Thingworx/Things/a%2Fb/Properties/c%2fd", Target{alwayson.EntityThing, "a/b", alwayson.Properties, "c/d"}, 0},
		{"a percent sign in a name", "/Thingworx/Things/100%25/Properties", Target{alwayson.EntityThing, "100%", alwayson.Properties, ""}, 0},
		{"a plus sign is no space", "/Thingworx/Things/a+b%20c/Properties", Target{alwayson.EntityThing, "a+b c", alwayson.Properties, ""}, 0},
		{"dots are names", "/Thingworx/Things/../Properties/.", Target{alwayson.EntityThing, "..", alwayson.Properties, "."}, 0},
		{"letters beyond ASCII", "/Thingworx/Things/%D0%BD%D0%B0%D1%81%D0%BE%D1%81/Services/%E6%B3%B5", Target{alwayson.EntityThing, "насос", alwayson.Services, "泵"}, 0},
		{"an identifier", "/Thingworx/Things/*sn-7/Properties", Target{alwayson.EntityThing, "*sn-7", alwayson.Properties, ""}, 0},
		{"the longest name", "/Thingworx/Things/" + strings.Repeat("ä", 255) + "/Properties", Target{alwayson.EntityThing, strings.Repeat("ä", 255), alwayson.Properties, ""}, 0},
		{"a longer one", "/Thingworx/Things/" + strings.Repeat("ä", 256) + "/Properties", Target{}, 400},
		{"nothing", "/", Target{}, 404},
		{"the root alone", "/Thingworx", Target{}, 404},
		{"another root", "/Other/Things/a/Properties", Target{}, 404},
		{"a collection alone", "/Thingworx/Things", Target{}, 404},
		{"an entity alone", "/Thingworx/Things/a", Target{}, 404},
		{"no such collection", "/Thingworx/Mashups/a/Properties", Target{}, 404},
		{"no such characteristic", "/Thingworx/Things/a/Subscriptions", Target{}, 404},
		{"a service without a name", "/Thingworx/Things/a/Services", Target{}, 404},
		{"too much", "/Thingworx/Things/a/Properties/b/c", Target{}, 404},
		{"an empty name", "/Thingworx/Things//Properties", Target{}, 404},
		{"a broken percent sign", "/Thingworx/Things/%zz/Properties", Target{}, 400},
		{"no UTF-8", "/Thingworx/Things/%ff/Properties", Target{}, 400},
		{"a NUL", "/Thingworx/Things/a%00/Properties", Target{}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, bad := ParsePath(c.path)
			switch {
			case bad == nil && c.status != 0:
				t.Fatalf("%+v was accepted", got)
			case bad != nil && bad.Status != c.status:
				t.Fatalf("%d %s, want %d", bad.Status, bad.Text, c.status)
			case got != c.want:
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	property, service, event := Target{Characteristic: alwayson.Properties}, Target{Characteristic: alwayson.Services}, Target{Characteristic: alwayson.Events}
	for _, c := range []struct {
		target Target
		method string
		want   alwayson.Code // 0: refused
	}{
		{property, "GET", alwayson.Get}, {property, "HEAD", alwayson.Get}, {property, "PUT", alwayson.Put}, {property, "POST", 0}, {property, "DELETE", 0},
		{service, "POST", alwayson.Post}, {service, "GET", 0}, {service, "PUT", 0}, {event, "POST", alwayson.Post}, {event, "get", 0}, {service, "TRACE", 0},
	} {
		got, bad := c.target.Method(c.method)
		if got != c.want || (bad == nil) != (c.want != 0) || bad != nil && (bad.Status != 405 || strings.Contains(c.target.Allow(), c.method)) {
			t.Errorf("%s on %v: %v, %v", c.method, c.target.Characteristic, got, bad)
		}
	}
}

func TestJSONBecomesValues(t *testing.T) {
	const none = alwayson.TypeVariant
	for _, c := range []struct {
		name, json string
		as         alwayson.BaseType
		want       string // of Value.String; "!" and words: an error that says them
	}{
		{"a number", "3", none, "NUMBER 3"},
		{"a fraction", "-1.5e3", none, "NUMBER -1500"},
		{"a text", `"ä\n"`, none, `STRING "ä\n"`},
		{"true", "true", none, "BOOLEAN true"},
		{"null", "null", alwayson.TypeNumber, "NOTHING"},
		{"a place", `{"latitude":1,"longitude":2}`, none, "LOCATION 1,2,0"},
		{"an object", `{"a":1}`, none, `JSON "{\"a\":1}"`},
		{"an empty list", `[]`, none, `JSON "[]"`},
		{"a list of numbers", `[1,2]`, none, `JSON "[1,2]"`},
		{"a list of objects", `[{"a":1},{"b":"x"}]`, none, "INFOTABLE 2 fields, 2 rows"},
		{"a table", `{"dataShape":{"fieldDefinitions":{"a":{"baseType":"NUMBER"}}},"rows":[{"a":1}]}`, none, "INFOTABLE 1 fields, 1 rows"},
		{"a whole number as INTEGER", "7", alwayson.TypeInteger, "INTEGER 7"},
		{"a fraction as INTEGER loses it", "7.9", alwayson.TypeInteger, "INTEGER 7"},
		{"too large an INTEGER", "2147483648", alwayson.TypeInteger, "!INTEGER"},
		{"a LONG keeps all digits", "9007199254740993", alwayson.TypeLong, "LONG 9007199254740993"},
		{"a LONG too large", "9223372036854775808", alwayson.TypeLong, "!LONG"},
		{"too large a number", "1e999", none, "!NUMBER"},
		{"a number in a text", `"1.5"`, alwayson.TypeNumber, "NUMBER 1.5"},
		{"words as NUMBER", `"x"`, alwayson.TypeNumber, "!NUMBER"},
		{"milliseconds as DATETIME", "1700000000123", alwayson.TypeDateTime, "DATETIME 2023-11-14T22:13:20.123Z"},
		{"RFC 3339 as DATETIME", `"2023-11-14T22:13:20.123Z"`, alwayson.TypeDateTime, "DATETIME 2023-11-14T22:13:20.123Z"},
		{"a day as DATETIME", `"yesterday"`, alwayson.TypeDateTime, "!DATETIME"},
		{"true as NUMBER", "true", alwayson.TypeNumber, "NUMBER 1"},
		{"an object as NUMBER", "{}", alwayson.TypeNumber, "!NUMBER"},
		{"an object as STRING", `{"a": 1}`, alwayson.TypeString, `STRING "{\"a\": 1}"`},
		{"a text as JSON", `"a"`, alwayson.TypeJSON, `JSON "\"a\""`},
		{"base64 as BLOB", `"AQID"`, alwayson.TypeBlob, "BLOB 3 bytes"},
		{"no base64 as IMAGE", `"%"`, alwayson.TypeImage, "!IMAGE"},
		{"a place in a text", `"1, 2,3"`, alwayson.TypeLocation, "LOCATION 1,2,3"},
		{"a place that is no number", `"NaN, 2"`, alwayson.TypeLocation, "!LOCATION"},
		{"a place at no end", `"1, -Inf"`, alwayson.TypeLocation, "!LOCATION"},
		{"half a place", `{"latitude":1}`, alwayson.TypeLocation, "!LOCATION"},
		{"a number as INFOTABLE", `1`, alwayson.TypeInfoTable, "!INFOTABLE"},
		{"a table in a text", `"[{\"a\":1}]"`, alwayson.TypeInfoTable, "INFOTABLE 1 fields, 1 rows"},
		{"a cell that does not fit", `{"dataShape":{"fieldDefinitions":{"a":{"baseType":"INTEGER"}}},"rows":[{"a":1},{"a":"x"}]}`, none, "!row 2 [a] is no INTEGER"},
		{"a cell of a table in a table", `{"dataShape":{"fieldDefinitions":{"t":{"baseType":"INFOTABLE"}}},"rows":[{"t":{"dataShape":{"fieldDefinitions":{"a":{"baseType":"INTEGER"}}},"rows":[{"a":"x"}]}}]}`, none,
			"!row 1 [t] row 1 [a] is no INTEGER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Value(json.RawMessage(c.json), alwayson.FieldDefinition{Type: c.as})
			words, bad := strings.CutPrefix(c.want, "!")
			switch {
			case bad && (err == nil || !strings.Contains(err.Error(), words)):
				t.Fatalf("%v, %v; want an error with %q", v, err, words)
			case !bad && (err != nil || !strings.HasPrefix(v.String(), c.want)):
				t.Fatalf("%v, %v; want %s", v, err, c.want)
			}
		})
	}
}

func TestATableKeepsItsShapeBothWays(t *testing.T) {
	const text = `{"dataShape":{"fieldDefinitions":{` +
		`"n":{"name":"n","description":"count","baseType":"INTEGER","ordinal":0,"aspects":{}},` +
		`"a":{"name":"a","description":"","baseType":"LOCATION","ordinal":1,"aspects":{}},` +
		`"t":{"name":"t","description":"","baseType":"DATETIME","ordinal":2,"aspects":{}},` +
		`"s":{"name":"s","description":"","baseType":"STRING","ordinal":3,"aspects":{}}}},"rows":[` +
		`{"n":1,"a":{"latitude":1.5,"longitude":2,"elevation":0},"t":1700000000123,"s":"泵 \"x\""},{"n":null,"a":null,"t":null,"s":null}]}`
	v, err := Value(json.RawMessage(text), alwayson.FieldDefinition{Type: alwayson.TypeVariant})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(AppendTable(nil, v.Table())); got != text {
		t.Fatalf("got  %s\nwant %s", got, text)
	}
	var b bytes.Buffer
	if err := WriteTable(&b, v.Table()); err != nil || b.String() != text {
		t.Fatalf("written: %s %v", b.String(), err)
	}
}

// sizes counts the sizes of what is written.
type sizes struct{ longest, all int }

func (s *sizes) Write(b []byte) (int, error) {
	s.longest, s.all = max(s.longest, len(b)), s.all+len(b)
	return len(b), nil
}

func TestAWideTableIsWrittenInPieces(t *testing.T) {
	table := &alwayson.InfoTable{Rows: make([][]alwayson.Value, 200)}
	for range 100 {
		table.Fields = append(table.Fields, alwayson.Field{Name: strings.Repeat("column", 40), Type: alwayson.TypeNumber})
	}
	var s sizes
	if err := WriteTable(&s, table); err != nil {
		t.Fatal(err)
	}
	if s.all < 4<<20 || s.longest > 128<<10 {
		t.Fatalf("%d bytes, the longest piece %d", s.all, s.longest)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		resp   *alwayson.Response
		status int
		body   string
	}{
		{"no result", alwayson.OK(alwayson.Value{}), 200, ""},
		{"a bare value", alwayson.OK(alwayson.NewNumber(2)), 200, `"rows":[{"result":2}]}`},
		{"no number that JSON can write", alwayson.OK(alwayson.NewNumber(math.NaN())), 200, `"rows":[{"result":null}]}`},
		{"an error", alwayson.Fail(alwayson.ServiceUnavailable, "busy"), 503, "busy\n"},
		{"a reason in the content", &alwayson.Response{Code: alwayson.NotFound, Content: alwayson.NewTable(alwayson.OneRow(alwayson.Named{Name: "reason", Value: alwayson.NewString("gone")}))}, 404, "gone\n"},
		{"an error without a reason", &alwayson.Response{Code: alwayson.BadOption}, 400, "BAD_OPTION (0x82)\n"},
		{"an unknown error", &alwayson.Response{Code: 0xBF}, 500, "0xBF\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Answer(w, c.resp)
			if w.Code != c.status || !strings.HasSuffix(w.Body.String(), c.body) {
				t.Fatalf("%d %q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
		})
	}
}

// FuzzPath feeds paths: what is accepted comes back when it is written again.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/Thingworx/Things/a%2Fb/Properties/%E6%B3%B5", "/Thingworx/Resources/EntityServices/Services/CreateThing/", "//", "/%zz", "/Thingworx/Things/*x/Events/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, bad := ParsePath(path)
		if bad != nil {
			if bad.Status != 404 && bad.Status != 400 || bad.Text == "" {
				t.Fatalf("%q: %+v", path, bad)
			}
			return
		}
		again := "/" + Root + "/" + got.Type.Collection() + "/" + url.PathEscape(got.Entity) + "/" + got.Characteristic.String()
		if got.Name != "" {
			again += "/" + url.PathEscape(got.Name)
		}
		if second, bad := ParsePath(again); bad != nil || second != got {
			t.Fatalf("%q is %+v, and %q is %+v %v", path, got, again, second, bad)
		}
	})
}

// FuzzBody feeds bodies: what is accepted can be written as JSON again and be
// read back as the same, unless its type is told neither by its column nor by its looks.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":"x","c":true,"d":null,"e":[1],"f":{"latitude":1,"longitude":2}}`, `{"t":[{"a":1},{"b":[{"c":2}]}]}`,
		`{"t":{"dataShape":{"fieldDefinitions":{"a":{"baseType":"DATETIME"},"b":{"baseType":"IMAGE"}}},"rows":[{"a":"2026-01-02T03:04:05Z","b":"AQ=="}]}}`,
		`{"":""}`, `{"a":1e400}`, "{\"a\":\"\xff\"}", `{"a":{"dataShape":{},"rows":{}}}`,
		`{"t":[{"a":{"baseType":"INTEGER","value":1000000}},{"a":1}]}`, `{"t":[{"a":{"baseType":"JSON","value":1e999}},{"a":"x"}]}`,
		`{"t":{"dataShape":{"fieldDefinitions":{"a":{}}},"rows":[{"a":{"baseType":"LONG","value":9007199254740993}},{"a":[1]}]}}`,
		`{"a":{"baseType":"LOCATION","value":"NaN,1"}}`, `{"a":{"baseType":"NUMBER","value":"-Inf"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		raw, bad := ReadBody(httptest.NewRecorder(), r, 1<<16)
		if bad != nil {
			return
		}
		table, bad := Params(raw, nil)
		if bad != nil || table == nil || !shows(table) || Length(alwayson.NewTable(table)) > 1<<20 {
			return
		}
		text := AppendTable(nil, table)
		again, err := Value(text, alwayson.FieldDefinition{Type: alwayson.TypeInfoTable})
		if err != nil {
			t.Fatalf("%q gives %s, which cannot be read: %v", body, text, err)
		}
		if second := AppendTable(nil, again.Table()); !bytes.Equal(text, second) {
			t.Fatalf("%q gives\n%s\nand then\n%s", body, text, second)
		}
	})
}

// shows reports whether JSON keeps the type of each value: that of its column does,
// and where a column takes any, the looks must.
func shows(t *alwayson.InfoTable) bool {
	for _, row := range t.Rows {
		for i, v := range row {
			v = v.Unwrap()
			if inner := v.Table(); inner != nil && !shows(inner) {
				return false
			}
			if free := t.Fields[i].Type; free != alwayson.TypeVariant && free != alwayson.TypeNothing {
				continue
			}
			switch v.Type() {
			case alwayson.TypeInteger, alwayson.TypeLong, alwayson.TypeDateTime:
				return false
			case alwayson.TypeJSON:
				if again, err := Value([]byte(v.Text()), alwayson.FieldDefinition{Type: alwayson.TypeVariant}); err != nil || !again.Equal(v) {
					return false
				}
			}
		}
	}
	return true
}
