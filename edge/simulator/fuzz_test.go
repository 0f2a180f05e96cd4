package simulator

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// unconnected makes a platform and a connection without a socket: what it would
// send stays in its outbox.
func unconnected(t testing.TB) (*Platform, *conn) {
	p, err := New(Options{Strict: true, Things: []ThingSpec{pump}, Listener: newPipes()})
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{
		p: p, out: newOutbox(p.opts.Chunk, false), stop: make(chan struct{}), byName: map[string]*endpoint{}, endpoints: map[string]*endpoint{},
		reassembler: alwayson.NewReassembler(alwayson.ReassemblerOptions{}),
	}
	c.calls.init()
	c.sync.c = c
	c.session.Store(7)
	return p, c
}

// FuzzMessage feeds the dispatcher what an edge might send: it must neither
// panic nor answer a request more than once.
func FuzzMessage(f *testing.F) {
	seed := func(code alwayson.Code, body alwayson.Body) {
		b, err := alwayson.Append(nil, &alwayson.Message{Header: alwayson.Header{Code: code, RequestID: 1, SessionID: 7}, Body: body})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(alwayson.BindCode, &alwayson.Bind{Names: []string{"pump-1", "*x", "y"}, Gateway: &alwayson.Gateway{Name: "g", Type: "EMSGateway"}})
	seed(alwayson.Unbind, &alwayson.Bind{Names: []string{"pump-1"}})
	seed(alwayson.Post, alwayson.PushRequest("pump-1", []alwayson.PropertyValue{good("flow", alwayson.NewNumber(1), 2)}))
	seed(alwayson.Post, alwayson.SubscriptionsRequest("pump-1"))
	seed(alwayson.Post, serviceOf("pump-1", "AddPropertyDefinition", text("name", "x"), text("type", "NUMBER"), named("remote", alwayson.NewBoolean(true))))
	seed(alwayson.Post, serviceOf("pump-1", "QueryPropertyHistory", number("maxItems", 5)))
	seed(alwayson.Post, serviceOf("pump-1", "SetPropertyValues", named("values", alwayson.NewTable(alwayson.OneRow(text("name", "note"), text("value", "v"))))))
	seed(alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "*", alwayson.OneRow(named("_content_", alwayson.NewText(alwayson.TypeJSON, `{"note":1}`)))))
	seed(alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "", nil))
	seed(alwayson.Post, alwayson.EventRequest("pump-1", "Alarm", alwayson.OneRow(number("code", 1))))
	seed(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityResource, "EntityServices", "CreateThing", alwayson.OneRow(text("name", "z"), text("thingTemplateName", "RemoteThing"))))
	seed(alwayson.Success, result(alwayson.NewString("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, c := unconnected(t)
		c.message(b)
		frames, _, _ := c.out.take(nil)
		answers := 0
		for len(frames) > 0 {
			n, head := int(frames[1]), 2
			if n == 126 {
				n, head = int(frames[2])<<8|int(frames[3]), 4
			}
			if frames[0] == 0x82 {
				if h, _, err := alwayson.ParseHeader(frames[head : head+n]); err == nil && h.Code.IsStatus() && frames[head+14] == 0 {
					answers++
				}
			}
			frames = frames[head+n:]
		}
		if answers > 1 {
			t.Fatalf("%d answers", answers)
		}
		c.calls.abandon()
	})
}

// FuzzRESTBody feeds REST bodies: the answer is never a panic, and a body that
// is accepted gives parameters that can be encoded, or that the wire has no form for.
func FuzzRESTBody(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"hard":true,"times":3,"at":1700000000000}`, `{"times":"x"}`, `{"t":[{"a":1},{"b":null}]}`, `{"l":{"latitude":1,"longitude":2}}`,
		`{"t":{"dataShape":{"fieldDefinitions":{"a":{"baseType":"NUMBER"}}},"rows":[{"a":1}]}}`, `{"at":"2026-01-02T03:04:05Z"}`, `[`, `{"a":1e999}`, `{"hard":"` + strings.Repeat("[", 70) + `"}`,
		`{"a":` + strings.Repeat(`[{"a":`, 20) + `1` + strings.Repeat(`}]`, 20) + `}`, `{"t":{"dataShape":{"fieldDefinitions":{"a":{"baseType":"TIMESPAN"}}},"rows":[{"a":null}]}}`,
	} {
		f.Add(s)
	}
	p, _ := unconnected(f)
	target := restjson.Target{Type: alwayson.EntityThing, Entity: "pump-1", Characteristic: alwayson.Services, Name: "Reset"}
	if len(p.inputsOf(target)) == 0 {
		f.Fatal("no inputs are declared")
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		table, bad := p.restParams(w, r, target)
		if bad != nil {
			if bad.Status < 400 || bad.Text == "" {
				t.Fatalf("%q: %+v", body, bad)
			}
			return
		}
		if table != nil && restjson.Length(alwayson.NewTable(table)) < 1<<20 {
			_, err := alwayson.AppendTable(nil, table)
			formless := errors.Is(err, alwayson.ErrTooDeep) || errors.Is(err, alwayson.ErrBadType) || errors.Is(err, alwayson.ErrTooMany) || errors.Is(err, alwayson.ErrBadCount)
			if err != nil && !formless {
				t.Fatalf("%q: %v", body, err)
			}
			if text := restjson.AppendTable(nil, table); !json.Valid(text) {
				t.Fatalf("%q gives %s", body, text)
			}
		}
	})
}

// FuzzThingsFile feeds the reader of things files.
func FuzzThingsFile(f *testing.F) {
	f.Add(thingsFile)
	f.Add("- name: a\n  properties: {x: {default: [1, {a: 2}], threshold: .nan}}")
	f.Add("- &a {name: a, events: {e: *a}}")
	f.Fuzz(func(t *testing.T, text string) {
		specs, shapes, err := parseThings("f", []byte(text))
		if err != nil {
			return
		}
		p, _ := unconnected(t)
		_ = p.addSpecs(specs, shapes)
	})
}
