package simulator

import (
	"fmt"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// TestServices runs each case over AlwaysOn, in order, on one platform: what a
// case makes the later ones see.
func TestServices(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
	e := connect(t, p)
	resource := func(entity, name string, in ...alwayson.Named) *alwayson.Request {
		return alwayson.ServiceRequest(alwayson.EntityResource, entity, name, alwayson.OneRow(in...))
	}
	entity := func(name string, in ...alwayson.Named) *alwayson.Request {
		return resource("EntityServices", name, in...)
	}
	fan := func(name string, in ...alwayson.Named) *alwayson.Request { return serviceOf("fan", name, in...) }
	yes := func(name string) alwayson.Named { return named(name, alwayson.NewBoolean(true)) }
	search := func(expression, kind string) *alwayson.Request {
		return resource("SearchFunctions", "SearchModelEntities", text("searchExpression", expression), number("maxItems", 2), text("types", kind))
	}
	parameters := columns("name", "description", "isPrimaryKey:BOOLEAN", "baseType")
	addRow(parameters, "value", "", false, "INTEGER")
	output := columns("name", "description", "isPrimaryKey:BOOLEAN", "baseType")
	addRow(output, "result", "", false, "STRING")
	values := columns("name", "value:VARIANT")
	addRow(values, "size", alwayson.NewVariant(alwayson.NewInteger(4)))
	rows := func(n int) string { return fmt.Sprintf("%d rows", n) }
	at := func(name string, ms int64) alwayson.Named { return named(name, alwayson.NewDateTime(ms)) }
	for _, c := range []struct {
		name string
		req  *alwayson.Request
		code alwayson.Code
		want string // "N rows", or the first row's cells joined, or part of the reason
	}{
		{"a name that is not there is not found", search("fan", "Thing"), 0, rows(0)},
		{"a template of every platform is found", search("remotething", "ThingTemplate"), 0, "RemoteThing||ThingTemplate|ThingTemplates"},
		{"wildcards match more, up to maxItems", search("Remote*", "ThingTemplate"), 0, rows(2)},
		{"types keep things out", search("SystemRepository", "DataShape"), 0, rows(0)},
		{"CreateThing", entity("CreateThing", text("name", "fan"), text("thingTemplateName", "RemoteThing"), text("description", "d")), 0, ""},
		{"CreateThing again says that it exists", entity("CreateThing", text("name", "FAN"), text("thingTemplateName", "RemoteThing")), alwayson.InternalServerError, "already exists"},
		{"CreateThing of no template", entity("CreateThing", text("name", "x"), text("thingTemplateName", "Nix")), alwayson.InternalServerError, "template [Nix] does not exist"},
		{"CreateThing with a bad name", entity("CreateThing", text("name", "a/b"), text("thingTemplateName", "RemoteThing")), alwayson.InternalServerError, "holds one of"},
		{"CreateThing without a name", entity("CreateThing"), alwayson.BadRequest, "required"},
		{"a created thing is found", search("fan", "Thing"), 0, "fan|d|Thing|Things"},
		{"RestartThing before EnableThing", fan("RestartThing"), alwayson.InternalServerError, "not enabled"},
		{"EnableThing", fan("EnableThing"), 0, ""},
		{"RestartThing", fan("RestartThing"), 0, ""},
		{"CreateDataShape from rows", entity("CreateDataShape", text("name", "Pair"), named("fields", alwayson.NewTable(parameters))), 0, ""},
		{"CreateDataShape from a table without rows", entity("CreateDataShape", text("name", "Bare"), named("fields", alwayson.NewTable(columns("a:NUMBER", "b")))), 0, ""},
		{"CreateDataShape again", entity("CreateDataShape", text("name", "Pair")), alwayson.InternalServerError, "already exists"},
		{"AddPropertyDefinition", fan("AddPropertyDefinition", text("name", "speed"), text("type", "NUMBER"), yes("remote"), text("remotePropertyName", "rpm"), text("pushType", "ALWAYS"), yes("logged"), number("defaultValue", 7)), 0, ""},
		{"AddPropertyDefinition of an INFOTABLE with a null default", fan("AddPropertyDefinition", text("name", "pairs"), text("type", "INFOTABLE"), text("dataShape", "Pair"), named("defaultValue", alwayson.Value{})), 0, ""},
		{"AddPropertyDefinition of a local one", fan("AddPropertyDefinition", text("name", "size"), text("type", "integer")), 0, ""},
		{"AddPropertyDefinition again", fan("AddPropertyDefinition", text("name", "size"), text("type", "INTEGER")), alwayson.InternalServerError, "already exists"},
		{"AddPropertyDefinition of a system property", fan("AddPropertyDefinition", text("name", "isConnected"), text("type", "BOOLEAN")), alwayson.InternalServerError, "already exists"},
		{"AddPropertyDefinition of no base type", fan("AddPropertyDefinition", text("name", "q"), text("type", "QUUX")), alwayson.BadRequest, "unknown base type"},
		{"GetPropertyDefinitions", fan("GetPropertyDefinitions"), 0, "speed||NUMBER|false|true|true|rpm|ALWAYS|0||7|0"},
		{"the default is the value", fan("GetNumberPropertyValue", text("propertyName", "speed")), 0, "7"},
		{"a value of another type is converted", fan("GetStringPropertyValue", text("propertyName", "speed")), 0, "7"},
		{"a value that is not known is one row", fan("GetIntegerPropertyValue", text("propertyName", "size")), 0, rows(1)},
		{"the value of no property", fan("GetNumberPropertyValue", text("propertyName", "nix")), alwayson.NotFound, "does not exist"},
		{"SetPropertyValues", fan("SetPropertyValues", named("values", alwayson.NewTable(values))), 0, ""},
		{"what was set is read", fan("GetIntegerPropertyValue", text("propertyName", "size")), 0, "4"},
		{"SetPropertyValues without values", fan("SetPropertyValues"), alwayson.BadRequest, "values is missing"},
		{"GetPropertyValues", fan("GetPropertyValues"), 0, "fan|d|RemoteThing||false|0|false|0|0|7||4"},
		{"SetRemotePropertyBinding", fan("SetRemotePropertyBinding", text("propertyName", "size"), text("sourcePropertyName", "cm"), text("pushType", "DEADBAND"), number("pushThreshold", 3), number("cacheTime", 500)), 0, ""},
		{"GetRemotePropertyBinding", fan("GetRemotePropertyBinding", text("propertyName", "size")), 0, "size|cm|DEADBAND|3|500|0|NONE"},
		{"a binding of no property", fan("SetRemotePropertyBinding", text("propertyName", "nix")), alwayson.NotFound, "does not exist"},
		{"GetPropertySubscriptions", fan("GetPropertySubscriptions", named("options", alwayson.NewText(alwayson.TypeJSON, `{"hasDeadband":true}`))), 0, rows(2)},
		{"RemoveRemotePropertyBinding", fan("RemoveRemotePropertyBinding", text("propertyName", "size")), 0, ""},
		{"one subscription is left", fan("GetPropertySubscriptions"), 0, "rpm|ALWAYS|0"},
		{"AddServiceDefinition", fan("AddServiceDefinition", text("name", "Push"), named("parameters", alwayson.NewTable(parameters)), named("resultType", alwayson.NewTable(output)), yes("remote"), text("remoteServiceName", "push_it")), 0, ""},
		{"AddServiceDefinition again", fan("AddServiceDefinition", text("name", "Push")), alwayson.InternalServerError, "already exists"},
		{"SetRemoteServiceBinding", fan("SetRemoteServiceBinding", text("serviceName", "Stop"), text("sourceServiceName", "halt")), 0, ""},
		{"GetRemoteServiceBinding", fan("GetRemoteServiceBinding", text("serviceName", "Stop")), 0, "Stop|halt"},
		{"GetServiceDefinitions", fan("GetServiceDefinitions"), 0, rows(2)},
		{"AddEventDefinition", fan("AddEventDefinition", text("name", "Broken"), text("dataShape", "Pair")), 0, ""},
		{"GetEventDefinitions", fan("GetEventDefinitions"), 0, "Broken||Pair|false"},
		{"SetValueStream of no thing", fan("SetValueStream", text("name", "nix")), alwayson.InternalServerError, "does not exist"},
		{"SetValueStream", fan("SetValueStream", text("name", "SystemRepository")), 0, ""},
		{"CloneThing", entity("CloneThing", text("name", "fan-2"), text("sourceThingName", "fan"), text("description", "copy"), text("tags", "")), 0, ""},
		{"a clone has the definitions", serviceOf("fan-2", "GetPropertyDefinitions"), 0, rows(3)},
		{"CloneThing of nothing", entity("CloneThing", text("name", "fan-3"), text("sourceThingName", "nix")), alwayson.NotFound, "does not exist"},
		{"GetRemoteMetadata of a thing that is not connected", fan("GetRemoteMetadata"), alwayson.ServiceUnavailable, "not connected"},
		{"RemovePropertyDefinition", fan("RemovePropertyDefinition", text("name", "size")), 0, ""},
		{"RemovePropertyDefinition again", fan("RemovePropertyDefinition", text("name", "size")), alwayson.NotFound, "does not exist"},
		{"DisableThing", fan("DisableThing"), 0, ""},
		{"a service of a disabled thing", fan("Push"), alwayson.ServiceUnavailable, "not enabled"},
		{"DeleteThing", entity("DeleteThing", named("name", alwayson.NewText(alwayson.TypeThingName, "fan"))), 0, ""},
		{"DeleteThing again", entity("DeleteThing", text("name", "fan")), alwayson.NotFound, "does not exist"},
		{"DeleteThing of the platform's own", entity("DeleteThing", text("name", "SystemRepository")), alwayson.Forbidden, "system object"},
		{"a read of the platform's own thing", alwayson.PropertyRequest(alwayson.EntityThing, "SystemRepository", "name", nil), 0, "SystemRepository"},
		{"no such service of a resource", entity("Nix"), alwayson.NotFound, "does not exist"},
		{"no such service of a local thing", serviceOf("SystemRepository", "Nix"), alwayson.NotFound, "does not exist"},
		{"no such resource", resource("Nix", "Nix"), alwayson.NotFound, "does not exist"},
		{"a template is no entity with services", alwayson.ServiceRequest(alwayson.EntityThingTemplate, "RemoteThing", "GetX", nil), alwayson.NotFound, "does not exist"},
		{"history of no property", serviceOf("pump-1", "QueryNumberPropertyHistory", text("propertyName", "nix")), alwayson.NotFound, "does not exist"},
		{"history before any value", serviceOf("pump-1", "QueryNumberPropertyHistory", text("propertyName", "flow"), at("startDate", 0)), 0, rows(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := e.request(alwayson.Post, c.req)
			if c.req.Characteristic == alwayson.Properties {
				resp = e.request(alwayson.Get, c.req)
			}
			if c.code != 0 {
				if resp.Code != c.code || !strings.Contains(resp.Reason, c.want) {
					t.Fatalf("%v %q", resp.Code, resp.Reason)
				}
				return
			}
			if !resp.Code.IsSuccess() {
				t.Fatalf("%v %q", resp.Code, resp.Reason)
			}
			if got := summary(resp.Content.Table()); got != c.want && rows(resp.Content.Table().Len()) != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

// summary joins the cells of the only row of a table.
func summary(t *alwayson.InfoTable) string {
	if t.Len() == 0 {
		return ""
	}
	var cells []string
	for i := range t.Fields {
		v := t.At(0, i).Unwrap()
		s, _ := restjson.Text(v)
		if v.Type() == alwayson.TypeDateTime {
			s = fmt.Sprint(v.Millis())
		}
		cells = append(cells, s)
	}
	return strings.Join(cells, "|")
}

func TestHistory(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
	e := connect(t, p)
	e.mustBind("pump-1")
	for i := range 100 {
		e.push("pump-1", good("level", alwayson.NewInteger(int32(i)), int64(1000+i)), good("isRunning", alwayson.NewBoolean(i%2 == 0), int64(1000+i)))
	}
	query := func(name string, in ...alwayson.Named) *alwayson.InfoTable {
		t.Helper()
		return e.must(alwayson.Post, serviceOf("pump-1", name, in...)).Table()
	}
	span := func(from, to, limit float64, oldest bool) []alwayson.Named {
		// the way PTC's tests ask: numbers, and texts where times belong
		return []alwayson.Named{number("maxItems", limit), text("propertyName", "level"), named("startDate", alwayson.NewDateTime(int64(from))),
			number("endDate", to), named("oldestFirst", alwayson.NewBoolean(oldest)), text("query", "")}
	}
	table := query("QueryIntegerPropertyHistory", span(1000, 1099, 100, true)...)
	for i := range 100 {
		if table.Cell(i, "value").Int() != int64(i) || table.Cell(i, "timestamp").Millis() != int64(1000+i) || table.Cell(i, "value").Type() != alwayson.TypeInteger {
			t.Fatalf("row %d: %v", i, table.Rows[i])
		}
	}
	if table = query("QueryNumberPropertyHistory", span(1010, 1019, 3, false)...); table.Len() != 3 || table.Cell(0, "value").Number() != 19 {
		t.Fatalf("newest first: %v", table.Rows)
	}
	if resp := e.request(alwayson.Post, serviceOf("pump-1", "QueryLocationPropertyHistory", text("propertyName", "level"))); resp.Code != alwayson.BadRequest {
		t.Fatalf("of a type that does not fit: %v", resp.Code)
	}
	if table = query("QueryPropertyHistory", number("maxItems", 200)); table.Len() != 100 || !table.Cell(0, "level").Equal(alwayson.NewInteger(99)) || table.Cell(0, "running").IsNothing() {
		t.Fatalf("all properties: %d rows, %v", table.Len(), table.Rows[0])
	}
	query("PurgeAllPropertyHistory", named("startDate", alwayson.NewDateTime(0)), named("endDate", alwayson.NewDateTime(1089)))
	if table = query("QueryIntegerPropertyHistory", span(0, 9999, 500, true)...); table.Len() != 10 {
		t.Fatalf("%d rows after the purge", table.Len())
	}
}

func TestWritesOfAnEdge(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump, {Name: "all", Properties: map[string]PropertySpec{
		"Boolean": {Type: "BOOLEAN"}, "Integer": {Type: "INTEGER"}, "Number": {Type: "NUMBER"}, "Datetime": {Type: "DATETIME"}, "String": {Type: "STRING"},
		"Text": {Type: "TEXT"}, "ThingName": {Type: "THINGNAME"}, "JSON": {Type: "JSON"}, "XML": {Type: "XML"}, "Location": {Type: "LOCATION"},
		"Image": {Type: "IMAGE"}, "Blob": {Type: "BLOB"}, "Table": {Type: "INFOTABLE"}, "Long": {Type: "LONG"}, "Any": {Type: "VARIANT"},
	}}}})
	e := connect(t, p)
	e.mustBind("pump-1", "all")
	values := []alwayson.Named{
		named("Boolean", alwayson.NewBoolean(true)), named("Integer", alwayson.NewInteger(-5)), number("Number", 2.5), named("Datetime", alwayson.NewDateTime(77)),
		text("String", "s"), named("Text", alwayson.NewText(alwayson.TypeText, "t")), named("ThingName", alwayson.NewText(alwayson.TypeThingName, "n")),
		named("JSON", alwayson.NewText(alwayson.TypeJSON, `{"a":1}`)), named("XML", alwayson.NewText(alwayson.TypeXML, "<a/>")),
		named("Location", alwayson.NewLocation(alwayson.Location{Latitude: 1, Longitude: 2, Elevation: 3})),
		named("Image", alwayson.NewImage([]byte{1})), named("Blob", alwayson.NewBlob([]byte{2})),
		named("Table", alwayson.NewTable(alwayson.OneRow(number("a", 1)))), named("Long", alwayson.NewLong(1<<40)), number("Any", 3),
	}
	put := func(name string, cells ...alwayson.Named) *alwayson.Response {
		return e.request(alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "all", name, alwayson.OneRow(cells...)))
	}
	check := func(t *testing.T, want []alwayson.Named) {
		t.Helper()
		all := e.must(alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "all", "", nil)).Table()
		for _, c := range want {
			if got := all.Cell(0, c.Name); !got.Equal(c.Value) {
				t.Errorf("%s: %v, want %v", c.Name, got, c.Value)
			}
		}
	}
	t.Run("several at once with *", func(t *testing.T) {
		if resp := put("*", values...); !resp.Code.IsSuccess() {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
		check(t, values)
	})
	t.Run("one whose type is not known goes as _content_ and is converted", func(t *testing.T) {
		doc := named("_content_", alwayson.NewText(alwayson.TypeJSON, `{"Integer":6,"Datetime":"1970-01-01T00:00:01Z"}`))
		if resp := put("*", doc); !resp.Code.IsSuccess() {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
		if resp := put("Number", named("_content_", alwayson.NewText(alwayson.TypeJSON, `{"Number":5}`))); !resp.Code.IsSuccess() {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
		check(t, []alwayson.Named{named("Integer", alwayson.NewInteger(6)), named("Datetime", alwayson.NewDateTime(1000)), number("Number", 5)})
	})
	t.Run("one property is read by its name, all with *", func(t *testing.T) {
		for _, name := range []string{"String", "*"} {
			if got := e.must(alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "all", name, nil)).Table().Cell(0, "String").Text(); got != "s" {
				t.Fatalf("%s: %q", name, got)
			}
		}
	})
	for name, c := range map[string]struct {
		property string
		cells    []alwayson.Named
		want     alwayson.Code
	}{
		"no value":             {"Number", nil, alwayson.BadRequest},
		"no such property":     {"Nix", []alwayson.Named{number("Nix", 1)}, alwayson.NotFound},
		"a null":               {"Number", []alwayson.Named{named("Number", alwayson.Value{})}, alwayson.BadRequest},
		"a value of no use":    {"Location", []alwayson.Named{number("Location", 1)}, alwayson.BadRequest},
		"a read-only property": {"name", []alwayson.Named{text("name", "x")}, alwayson.MethodNotAllowed},
		"_content_ no object":  {"*", []alwayson.Named{text("_content_", "[")}, alwayson.BadRequest},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			if resp := put(c.property, c.cells...); resp.Code != c.want || resp.Reason == "" {
				t.Fatalf("%v %q", resp.Code, resp.Reason)
			}
		})
	}
	t.Run("DELETE is not allowed", func(t *testing.T) {
		if resp := e.request(alwayson.Delete, alwayson.PropertyRequest(alwayson.EntityThing, "all", "Number", nil)); resp.Code != alwayson.MethodNotAllowed {
			t.Fatalf("%v", resp.Code)
		}
	})
}
