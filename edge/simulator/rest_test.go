package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
)

// rest makes a REST request and gives status and body.
func rest(t testing.TB, p *Platform, method, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, strings.TrimSuffix(p.URL(), "/Thingworx")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("appKey", testKey)
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

const things = "/Thingworx/Things/"

// restful runs a platform with a bound pump whose edge answers in the background.
func restful(t *testing.T) *Platform {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump, {Name: "idle-1", Properties: pump.Properties}}, MaxMessage: 64 << 10})
	e := connect(t, p)
	e.mustBind("pump-1")
	e.push("pump-1", good("flow", alwayson.NewNumber(2.5), 1))
	ended := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case m := <-e.in:
				e.serve(m, script)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
	return p
}

// script is the edge of restful.
func script(req *alwayson.Request) *alwayson.Response {
	in := params{req.Params}
	switch req.Name {
	case "Reset":
		types := in.get("hard").Type().String() + " " + in.get("times").Type().String() + " " + in.get("at").Type().String()
		return result(alwayson.NewString(types))
	case "Types":
		var names []string
		for _, f := range req.Params.Fields {
			names = append(names, f.Name+"="+f.Type.String())
		}
		return result(alwayson.NewString(strings.Join(names, " ")))
	case "Nothing":
		return ok(alwayson.Value{})
	case "When":
		return result(alwayson.NewDateTime(1700000000123))
	case "Where":
		return result(alwayson.NewLocation(alwayson.Location{Latitude: 1, Longitude: 2, Elevation: 3}))
	case "Document":
		return result(alwayson.NewText(alwayson.TypeJSON, `{"a":[1]}`))
	case "Rows":
		return result(alwayson.NewTable(in.table("table")))
	case "Blob":
		return result(alwayson.NewBlob([]byte{1, 2, 3}))
	case "Refuse":
		return fail(alwayson.Code(in.number("code", 0)), "because")
	case "isRunning":
		if req.Params != nil {
			return ok(alwayson.Value{})
		}
		return ok(alwayson.NewTable(alwayson.OneRow(named("isRunning", alwayson.NewBoolean(true)))))
	}
	return nil
}

func TestREST(t *testing.T) {
	p := restful(t)
	wrap := func(field, base, value string) string {
		return `{"dataShape":{"fieldDefinitions":{"` + field + `":{"name":"` + field + `","description":"","baseType":"` + base +
			`","ordinal":0,"aspects":{}}}},"rows":[{"` + field + `":` + value + `}]}`
	}
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string // the whole body, or a part of it if it starts with "~"
	}{
		{"no key", "GET", things, "", []string{"appKey", ""}, 401, "header appKey is missing"},
		{"a wrong key", "GET", things, "", []string{"appKey", "no"}, 403, "the application key is not valid"},
		{"the list of things", "GET", "/Thingworx/Things", "", nil, 200, `~"name":"pump-1"`},
		{"a stored property", "GET", things + "pump-1/Properties/flow", "", nil, 200, wrap("flow", "NUMBER", "2.5")},
		{"names of things are compared without case", "GET", things + "PUMP-1/Properties/flow/", "", nil, 200, wrap("flow", "NUMBER", "2.5")},
		{"an unknown remote property is read from the edge", "GET", things + "pump-1/Properties/running", "", nil, 200, wrap("running", "BOOLEAN", "true")},
		{"an unknown property of a thing that is not connected", "GET", things + "idle-1/Properties/level", "", nil, 200, wrap("level", "INTEGER", "null")},
		{"all properties", "GET", things + "pump-1/Properties", "", nil, 200, `~"isConnected":true`},
		{"a system property", "GET", things + "idle-1/Properties/isConnected", "", nil, 200, wrap("isConnected", "BOOLEAN", "false")},
		{"no such property", "GET", things + "pump-1/Properties/nix", "", nil, 404, "property [nix] does not exist on thing [pump-1]"},
		{"no such thing", "GET", things + "nix/Properties/flow", "", nil, 404, "thing [nix] does not exist"},
		{"a local write", "PUT", things + "pump-1/Properties/note", `{"note":"hi"}`, nil, 200, ""},
		{"a local write is stored", "GET", things + "pump-1/Properties/note", "", nil, 200, wrap("note", "STRING", `"hi"`)},
		{"a write to the edge", "PUT", things + "pump-1/Properties/running", `{"running":false}`, nil, 200, ""},
		{"a write that the edge refuses", "PUT", things + "pump-1/Properties/level", `{"level":1}`, nil, 404, "no level here"},
		{"a write of several", "PUT", things + "pump-1/Properties/*", `{"note":"x","running":true}`, nil, 200, ""},
		{"a write of the wrong type", "PUT", things + "pump-1/Properties/running", `{"running":"maybe"}`, nil, 400, "~does not fit"},
		{"a write of another name", "PUT", things + "pump-1/Properties/note", `{"flow":1,"x":2}`, nil, 404, "~does not exist"},
		{"a write to a system property", "PUT", things + "pump-1/Properties/isConnected", `{"isConnected":true}`, nil, 405, "~read-only"},
		{"a write to a thing that is not connected", "PUT", things + "idle-1/Properties/flow", `{"flow":1}`, nil, 503, "thing [idle-1] is not connected"},
		{"an empty write", "PUT", things + "pump-1/Properties/note", "", nil, 400, "~no value"},
		{"declared inputs get their types", "POST", things + "pump-1/Services/Reset", `{"hard":true,"times":3,"at":1700000000000}`, nil, 200,
			wrap("result", "STRING", `"BOOLEAN INTEGER DATETIME"`)},
		{"declared inputs are converted from texts", "POST", things + "pump-1/Services/Reset", `{"times":"3","hard":"true","at":"2026-01-02T03:04:05Z"}`, nil, 200,
			wrap("result", "STRING", `"BOOLEAN INTEGER DATETIME"`)},
		{"a declared input that does not fit", "POST", things + "pump-1/Services/Reset", `{"times":1.5e300}`, nil, 400, "parameter [times] does not fit base type INTEGER"},
		{"undeclared inputs are inferred", "POST", things + "pump-1/Services/Types",
			`{"b":true,"n":1.5,"s":"x","j":[1],"l":{"latitude":1,"longitude":2},"t":[{"a":1}]}`, nil, 200,
			wrap("result", "STRING", `"b=BOOLEAN j=JSON l=LOCATION n=NUMBER s=STRING t=INFOTABLE"`)},
		{"no result is an empty body", "POST", things + "pump-1/Services/Nothing", "", nil, 200, ""},
		{"a time is milliseconds", "POST", things + "pump-1/Services/When", "{}", nil, 200, wrap("result", "DATETIME", "1700000000123")},
		{"a location", "POST", things + "pump-1/Services/Where", "", nil, 200, wrap("result", "LOCATION", `{"latitude":1,"longitude":2,"elevation":3}`)},
		{"JSON stays JSON", "POST", things + "pump-1/Services/Document", "", nil, 200, wrap("result", "JSON", `{"a":[1]}`)},
		{"bytes are base64", "POST", things + "pump-1/Services/Blob", "", nil, 200, wrap("result", "BLOB", `"AQID"`)},
		{"an info table both ways", "POST", things + "pump-1/Services/Rows", `{"table":` + wrap("x", "INTEGER", "7") + `}`, nil, 200, wrap("x", "INTEGER", "7")},
		{"the edge's 400", "POST", things + "pump-1/Services/Refuse", `{"code":128}`, nil, 400, "because"},
		{"the edge's 403", "POST", things + "pump-1/Services/Refuse", `{"code":131}`, nil, 403, "because"},
		{"the edge's 404", "POST", things + "pump-1/Services/Refuse", `{"code":132}`, nil, 404, "because"},
		{"the edge's 500", "POST", things + "pump-1/Services/Refuse", `{"code":160}`, nil, 500, "because"},
		{"the edge's 501", "POST", things + "pump-1/Services/Refuse", `{"code":161}`, nil, 501, "because"},
		{"the edge's 503", "POST", things + "pump-1/Services/Refuse", `{"code":163}`, nil, 503, "because"},
		{"the edge's 504", "POST", things + "pump-1/Services/Refuse", `{"code":164}`, nil, 504, "because"},
		{"a service of a thing that is not connected", "POST", things + "idle-1/Services/Reset", "", nil, 503, "thing [idle-1] is not connected"},
		{"a service of no thing", "POST", things + "nix/Services/Reset", "", nil, 404, "thing [nix] does not exist"},
		{"a GET on a service", "GET", things + "pump-1/Services/Reset", "", nil, 405, "~"},
		{"no such collection", "POST", "/Thingworx/Nix/a/Services/b", "", nil, 404, "no such collection: Nix"},
		{"no such resource", "POST", "/Thingworx/Resources/Nix/Services/b", "", nil, 404, "resource [Nix] does not exist"},
		{"a resource's service", "POST", "/Thingworx/Resources/SearchFunctions/Services/SearchModelEntities", `{"searchExpression":"pump*"}`, nil, 200, `~"name":"pump-1"`},
		{"a list of entities", "POST", "/Thingworx/Resources/EntityServices/Services/GetEntityList", `{"type":"ThingTemplate","nameMask":"remotething"}`, nil, 200, `~"name":"RemoteThing","description":"","type":"ThingTemplate"`},
		{"a list of entities of no type", "POST", "/Thingworx/Resources/EntityServices/Services/GetEntityList", "", nil, 400, "GetEntityList: type is required"},
		{"a data shape is made", "POST", "/Thingworx/Resources/EntityServices/Services/CreateDataShape",
			`{"name":"Reading","fields":{"dataShape":{"fieldDefinitions":{"name":{"baseType":"STRING"},"baseType":{"baseType":"STRING"}}},"rows":[{"name":"x","baseType":"NUMBER"}]}}`, nil, 200, ""},
		{"a data shape's fields", "POST", "/Thingworx/DataShapes/reading/Services/GetFieldDefinitions", "", nil, 200, `~"name":"x","description":"","baseType":"NUMBER","ordinal":0`},
		{"a data shape is deleted", "POST", "/Thingworx/Resources/EntityServices/Services/DeleteDataShape", `{"name":"Reading"}`, nil, 200, ""},
		{"a data shape that is not there", "POST", "/Thingworx/DataShapes/Reading/Services/GetFieldDefinitions", "", nil, 404, "DataShape [Reading] does not exist"},
		{"the things of a template", "POST", "/Thingworx/ThingTemplates/GenericThing/Services/GetImplementingThings", "", nil, 200, `~"name":"pump-1"`},
		{"no such service of a template", "POST", "/Thingworx/ThingTemplates/GenericThing/Services/Nix", "", nil, 404, "service [Nix] does not exist on ThingTemplate [GenericThing]"},
		{"a name with a space and a percent sign", "GET", "/Thingworx/Things/a%20b%25/Properties", "", nil, 404, "thing [a b%] does not exist"},
		{"a name that is not UTF-8", "GET", "/Thingworx/Things/%ff/Properties", "", nil, 400, `path: "%ff" is not UTF-8`},
		{"a name that is too long", "GET", "/Thingworx/Things/" + strings.Repeat("x", 300) + "/Properties", "", nil, 400, "~has 300 characters"},
		{"a body that is not UTF-8", "POST", things + "pump-1/Services/Reset", "{\"a\":\"\xff\"}", nil, 400, "body is not UTF-8"},
		{"a compressed body", "POST", things + "pump-1/Services/Reset", "{}", []string{"Content-Encoding", "gzip"}, 415, "~Content-Encoding"},
		{"a table with a cell that does not fit", "POST", things + "pump-1/Services/Types",
			`{"t":{"dataShape":{"fieldDefinitions":{"n":{"baseType":"NUMBER"}}},"rows":[{"n":1},{"n":"x"}]}}`, nil, 400, "parameter [t] does not fit: row 2 [n] is no NUMBER"},
		{"no JSON", "POST", things + "pump-1/Services/Reset", "{", nil, 400, "body is no JSON object"},
		{"no object", "POST", things + "pump-1/Services/Reset", "[1]", nil, 400, "body is no JSON object"},
		{"nested too deeply", "POST", things + "pump-1/Services/Reset", `{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + "}", nil, 400, "body is no JSON object"},
		{"another content type", "POST", things + "pump-1/Services/Reset", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "~application/json"},
		{"too large", "POST", things + "pump-1/Services/Reset", `{"a":"` + strings.Repeat("x", 70<<10) + `"}`, nil, 413, "~larger"},
		{"nothing there", "GET", "/Thingworx/Mashups", "", nil, 404, "~"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := rest(t, p, c.method, c.path, c.body, c.header...)
			part, partial := strings.CutPrefix(c.want, "~")
			if status != c.status || !partial && body != c.want || partial && !strings.Contains(body, part) {
				t.Fatalf("%d %s\nwant %d %s", status, body, c.status, c.want)
			}
			if status == 200 && body != "" && !json.Valid([]byte(body)) {
				t.Fatalf("no JSON: %s", body)
			}
		})
	}
}

func TestFaultsOnCommand(t *testing.T) {
	begin := func(t *testing.T) (*Platform, *edge) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump, {Name: "pump-2"}}})
		e := connect(t, p)
		e.mustBind("pump-1")
		return p, e
	}
	set := func(t *testing.T, p *Platform, body string) {
		t.Helper()
		if status, text := rest(t, p, "POST", "/simulator/faults", body); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	t.Run("refuse-auth refuses every key until cleared", func(t *testing.T) {
		p, _ := begin(t)
		set(t, p, `{"kind":"refuse-auth","code":131}`)
		e := dial(t, p, nil)
		resp, _ := e.exchange(alwayson.AuthCode, &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: testKey}}})
		if resp.Code != alwayson.Forbidden {
			t.Fatalf("%v", resp.Code)
		}
		if status, _ := rest(t, p, "DELETE", "/simulator/faults", ""); status != 204 {
			t.Fatal(status)
		}
		e.auth(testKey)
	})
	t.Run("refuse-bind refuses a BIND that names the thing", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"refuse-bind","thing":"pump-2","reason":"not today"}`)
		if resp := e.bind("pump-1", "PUMP-2"); resp.Code != alwayson.Forbidden || resp.Reason != "not today" {
			t.Fatalf("%+v", resp)
		}
		if resp := e.bind("pump-1"); !resp.Code.IsSuccess() {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("a stall of a thing holds its answers until it is over", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"stall","thing":"pump-1"}`)
		held := e.send(alwayson.Post, serviceOf("pump-1", "GetPropertyValues"))
		e.must(alwayson.Post, serviceOf("pump-2", "GetPropertyValues"))
		p.ClearFaults()
		for m := e.next(); m.RequestID != held; m = e.next() {
			e.serve(m, nil)
		}
	})
	t.Run("a stall stops all reading and answering, REST goes on", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"stall"}`)
		before := p.Stats().Requests
		id := e.send(alwayson.Post, serviceOf("pump-1", "GetPropertyValues"))
		if status, _ := rest(t, p, "GET", things+"pump-1/Properties/flow2", ""); status != 404 || p.Stats().Requests != before {
			t.Fatalf("%d, requests %d", status, p.Stats().Requests)
		}
		p.ClearFaults()
		for m := e.next(); m.RequestID != id; m = e.next() {
			e.serve(m, nil)
		}
	})
	t.Run("a stalled platform stops all the same", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"stall"}`)
		e.send(alwayson.Post, serviceOf("pump-1", "GetPropertyValues"))
	})
	t.Run("delay holds answers back", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"delay","delay":"50ms","thing":"pump-1"}`)
		slow := e.send(alwayson.Post, serviceOf("pump-1", "GetPropertyValues"))
		e.must(alwayson.Post, serviceOf("pump-2", "GetPropertyValues"))
		if m := e.next(); m.RequestID != slow {
			t.Fatalf("%+v", m.Header)
		}
	})
	t.Run("cut breaks the connection of a thing without CLOSE", func(t *testing.T) {
		p, e := begin(t)
		other := connect(t, p)
		set(t, p, `{"kind":"cut","thing":"pump-1"}`)
		if code := e.closeCode(); code != -1 {
			t.Fatalf("close code %d", code)
		}
		other.must(alwayson.Post, serviceOf("pump-2", "GetPropertyValues"))
	})
	t.Run("cut for a time lets nobody in", func(t *testing.T) {
		p, e := begin(t)
		set(t, p, `{"kind":"cut","for":"1h"}`)
		if code := e.closeCode(); code != -1 {
			t.Fatalf("close code %d", code)
		}
		if status, text := rest(t, p, "GET", "/Thingworx/WS", ""); status != 0 {
			t.Fatalf("%d %s", status, text)
		}
		if status, text := rest(t, p, "GET", "/simulator/faults", ""); status != 200 || !strings.Contains(text, `"for":"59m59`) {
			t.Fatalf("%d %s", status, text)
		}
		p.ClearFaults()
		connect(t, p)
	})
	t.Run("a fault ends by itself", func(t *testing.T) {
		inBubble(t, Options{}, func(t *testing.T, p *Platform, l *pipes) {
			if _, err := p.SetFault(Fault{Kind: FaultStall, For: 5e9}); err != nil {
				t.Fatal(err)
			}
			e := dialPipe(t, p, l)
			e.auth(testKey)
			if len(p.Faults()) != 0 {
				t.Fatal("authenticated during the stall")
			}
		})
	})
	for body, want := range map[string]string{
		`{"kind":"fire"}`:                "expected refuse-auth, refuse-bind, stall, delay or cut",
		`{"kind":"stall","for":"5"}`:     "expected a duration",
		`{"kind":"stall","for":"-5s"}`:   "must not be negative",
		`{"kind":"stall","thingy":"a"}`:  "unknown field",
		`{"kind":"delay","delay":"now"}`: "expected a duration",
	} {
		t.Run("a bad fault is refused: "+body, func(t *testing.T) {
			p := start(t, Options{})
			if status, text := rest(t, p, "POST", "/simulator/faults", body); status != 400 || !strings.Contains(text, want) {
				t.Fatalf("%d %s", status, text)
			}
		})
	}
}

func TestTheControlRoutesShowWhatHappened(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
	e := connect(t, p)
	e.mustBind("pump-1")
	e.push("pump-1", good("flow", alwayson.NewNumber(2.5), 17))
	e.must(alwayson.Post, alwayson.EventRequest("pump-1", "Alarm", alwayson.OneRow(number("code", 5))))
	for path, want := range map[string]string{
		"/simulator/connections":         `"bound":["pump-1"],"unclaimed":[]`,
		"/simulator/pushes?thing=pump-1": `"name":"flow","baseType":"NUMBER","value":2.5,"time":17,"quality":"GOOD"}`,
		"/simulator/events?thing=PUMP-1": `"data":{"code":5}}`,
		"/simulator/things":              `"synchronised":true`,
		"/simulator/stats":               `"values":1,"valuesDropped":0`,
	} {
		status, text := rest(t, p, "GET", path, "", "appKey", "")
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _ := rest(t, p, "GET", "/simulator/pushes", ""); status != 404 {
		t.Errorf("no thing named: %d", status)
	}
	if resp := e.request(alwayson.Post, alwayson.EventRequest("pump-1", "Nix", nil)); resp.Code != alwayson.NotFound {
		t.Errorf("unknown event: %v", resp.Code)
	}
}
