package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

var pump = ThingSpec{
	Name: "pump-1",
	Properties: map[string]PropertySpec{
		"flow":    {Type: "NUMBER", Push: "VALUE", Threshold: 0.5},
		"running": {Type: "BOOLEAN", Push: "ALWAYS", Remote: "isRunning"},
		"level":   {Type: "INTEGER", Push: "DEADBAND", Threshold: 2},
		"note":    {Type: "STRING", Local: true},
	},
	Services: map[string]ServiceSpec{
		"Reset": {
			Inputs: map[string]FieldSpec{"hard": {Type: "BOOLEAN"}, "times": {Type: "INTEGER"}, "at": {Type: "DATETIME"}},
			Output: FieldSpec{Type: "STRING"},
		},
	},
	Events: map[string]EventSpec{"Alarm": {Fields: map[string]FieldSpec{"code": {Type: "INTEGER"}}}},
}

func good(name string, v alwayson.Value, ms int64) alwayson.PropertyValue {
	return alwayson.PropertyValue{Name: name, Value: v, Time: ms, Quality: "GOOD"}
}

func TestAnEdgeAuthenticatesBindsSynchronisesAndPushes(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
	e := connect(t, p)
	e.mustBind("pump-1")
	if resp := e.push("pump-1", good("flow", alwayson.NewNumber(3.5), 1700000000000)); !resp.Code.IsSuccess() {
		t.Fatalf("push: %v %s", resp.Code, resp.Reason)
	}
	v, known := p.Value("PUMP-1", "flow")
	if !known || v.Value.Number() != 3.5 || v.Time != 1700000000000 || v.Quality != "GOOD" {
		t.Fatalf("value %v %v", v, known)
	}
	infos := p.Connections()
	if len(infos) != 1 || !infos[0].Authenticated || len(infos[0].Bound) != 1 {
		t.Fatalf("connections %+v", infos)
	}
	if info := p.lookup("pump-1").info(); !info.Connected || !info.Synchronised || info.LastConnection.IsZero() {
		t.Fatalf("thing %+v", info)
	}
	if resp, _ := e.exchange(alwayson.Unbind, &alwayson.Bind{Names: []string{"pump-1", "never-bound"}}); !resp.Code.IsSuccess() {
		t.Fatalf("UNBIND: %v", resp.Code)
	}
	if p.lookup("pump-1").info().Connected {
		t.Fatal("still connected after UNBIND")
	}
}

func TestAuthentication(t *testing.T) {
	long := strings.Repeat("k", 140)
	whole := func(k string) []byte {
		b, _ := alwayson.Append(nil, &alwayson.Message{
			Header: alwayson.Header{Code: alwayson.AuthCode, RequestID: 1, SessionID: alwayson.NoSession},
			Body:   &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: k}}},
		})
		return b
	}
	cut := func(k string, n int) []byte { b := whole(k); return b[:len(b)-n] }
	for _, c := range []struct {
		name, key, header string
		auth              []byte
		want              alwayson.Code
	}{
		{"the right key is accepted", testKey, "", whole(testKey), alwayson.Success},
		{"a wrong key is refused", testKey, "", whole("other"), alwayson.Unauthorized},
		{"a prefix of the key is refused when it was not cut", testKey, testKey, whole("key"), alwayson.Unauthorized},
		{"a long key that ends three bytes early counts if the header has it whole", long, long, cut(long, 3), alwayson.Success},
		{"a cut key without the header is refused", long, "", cut(long, 3), alwayson.Unauthorized},
		{"a cut key with another header is refused", long, strings.Repeat("x", 140), cut(long, 3), alwayson.Unauthorized},
		{"a key cut by more than three bytes is refused", long, long, cut(long, 4), alwayson.Unauthorized},
		{"an AUTH without a body is refused", testKey, testKey, whole(testKey)[:15], alwayson.Unauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, Options{AppKey: c.key})
			e := dial(t, p, http.Header{"Appkey": {c.header}})
			e.raw(c.auth)
			m := e.next()
			if m.Code != c.want || m.RequestID != 1 {
				t.Fatalf("answer %v id %d", m.Code, m.RequestID)
			}
			if c.want == alwayson.Success && (m.SessionID == alwayson.NoSession || m.SessionID == 0) {
				t.Fatalf("session %x", m.SessionID)
			}
			if c.want != alwayson.Success && m.Body.(*alwayson.Response).Reason == "" {
				t.Fatal("refused without a reason")
			}
		})
	}
}

func TestSessionRules(t *testing.T) {
	t.Run("anything before AUTH closes the connection", func(t *testing.T) {
		p := start(t, Options{})
		e := dial(t, p, nil)
		e.send(alwayson.Post, serviceOf("x", "y"))
		if code := e.closeCode(); code != websocket.ClosePolicyViolation {
			t.Fatalf("close code %d", code)
		}
	})
	t.Run("a wrong session id is refused and costs nothing else", func(t *testing.T) {
		p := start(t, Options{})
		e := connect(t, p)
		right := e.session
		e.session++
		if resp := e.bind("a"); resp.Code != alwayson.Unauthorized {
			t.Fatalf("BIND: %v", resp.Code)
		}
		e.session = right
		if resp := e.bind("a"); !resp.Code.IsSuccess() {
			t.Fatalf("BIND: %v", resp.Code)
		}
	})
	t.Run("AUTH and BIND may come again on the same socket", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := connect(t, p)
		e.mustBind("pump-1")
		e.auth(testKey)
		e.mustBind("pump-1")
		if !p.lookup("pump-1").info().Connected {
			t.Fatal("not connected")
		}
	})
	t.Run("a later AUTH with a wrong key ends the session", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := connect(t, p)
		e.mustBind("pump-1")
		resp, _ := e.exchange(alwayson.AuthCode, &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: "wrong"}}})
		if resp.Code != alwayson.Unauthorized || p.lookup("pump-1").info().Connected {
			t.Fatalf("%v, connected %v", resp.Code, p.lookup("pump-1").info().Connected)
		}
		e.auth(testKey)
		e.mustBind("pump-1")
	})
	t.Run("KEEP_ALIVE and unknown methods get no answer", func(t *testing.T) {
		p := start(t, Options{})
		e := connect(t, p)
		for _, code := range []byte{byte(alwayson.KeepAlive), 0x2A} {
			b := e.encode(alwayson.Header{Code: alwayson.KeepAlive, RequestID: 77, SessionID: e.session}, nil)
			b[1] = code
			e.raw(b)
		}
		id := e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"+"}})
		if m := e.next(); m.RequestID != id {
			t.Fatalf("answer to %d came first", m.RequestID)
		}
	})
	t.Run("the endpoint id of a request stands in its answer", func(t *testing.T) {
		p := start(t, Options{})
		e := connect(t, p)
		e.raw(e.encode(alwayson.Header{Code: alwayson.BindCode, RequestID: 9, EndpointID: 0xFFFFFFFF, SessionID: e.session}, &alwayson.Bind{Names: []string{"a/b"}}))
		if m := e.next(); m.EndpointID != 0xFFFFFFFF {
			t.Fatalf("endpoint %x", m.EndpointID)
		}
	})
}

func TestBinding(t *testing.T) {
	valve := ThingSpec{Name: "valve", Identifier: "SN-7"}
	strict := Options{Strict: true, Things: []ThingSpec{pump, valve}}
	partial := strict
	partial.BindRefusal = RefusePartial
	bound := func(p *Platform, name string) bool { return p.lookup(name).bound() != nil }
	t.Run("the first connection wins", func(t *testing.T) {
		p := start(t, strict)
		a, b := connect(t, p), connect(t, p)
		a.mustBind("pump-1")
		resp := b.bind("PUMP-1")
		if resp.Code != alwayson.Forbidden || !strings.Contains(resp.Reason, "bound by another connection") {
			t.Fatalf("%v %q", resp.Code, resp.Reason)
		}
		_ = a.ws.Close()
		eventually(t, "the name is free", func() bool { return !bound(p, "pump-1") })
		b.mustBind("pump-1")
	})
	t.Run("a refused name takes the others with it", func(t *testing.T) {
		p := start(t, strict)
		a, b := connect(t, p), connect(t, p)
		a.mustBind("pump-1")
		if resp := b.bind("*SN-7", "pump-1"); resp.Code.IsSuccess() || bound(p, "valve") {
			t.Fatalf("%v, valve bound %v", resp.Code, bound(p, "valve"))
		}
	})
	t.Run("with partial refusal the good names are bound all the same", func(t *testing.T) {
		p := start(t, partial)
		a, b := connect(t, p), connect(t, p)
		a.mustBind("pump-1")
		if resp := b.bind("*SN-7", "pump-1"); resp.Code.IsSuccess() || !bound(p, "valve") {
			t.Fatalf("%v, valve bound %v", resp.Code, bound(p, "valve"))
		}
	})
	t.Run("a thing with an identifier is bound by it only", func(t *testing.T) {
		p := start(t, strict)
		e := connect(t, p)
		if resp := e.bind("valve"); resp.Code.IsSuccess() {
			t.Fatal("bound by its name")
		}
		e.mustBind("*sn-7")
		go p.Call(t.Context(), alwayson.Post, serviceOf("valve", "Open"))
		if _, req := e.expect("Open", nil); req.Entity != "*sn-7" {
			t.Fatalf("request for %q", req.Entity)
		}
	})
	t.Run("a name with no thing is accepted and listed as unclaimed until the thing exists and it is bound again", func(t *testing.T) {
		p := start(t, strict)
		e := connect(t, p)
		if resp := e.bind("fan"); !resp.Code.IsSuccess() {
			t.Fatalf("%v", resp.Code)
		}
		if got := p.Connections()[0].Unclaimed; len(got) != 1 || got[0] != "fan" {
			t.Fatalf("unclaimed %v", got)
		}
		e.must(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityResource, "EntityServices", "CreateThing",
			alwayson.OneRow(text("name", "fan"), text("thingTemplateName", "RemoteThing"))))
		if bound(p, "fan") {
			t.Fatal("claimed while disabled")
		}
		e.must(alwayson.Post, serviceOf("fan", "EnableThing"))
		e.must(alwayson.Post, serviceOf("fan", "RestartThing"))
		if bound(p, "fan") {
			t.Fatal("claimed by a thing that was made after the BIND")
		}
		e.mustBind("fan")
		if !bound(p, "fan") {
			t.Fatal("not claimed")
		}
		e.must(alwayson.Post, serviceOf("fan", "DisableThing"))
		if bound(p, "fan") {
			t.Fatal("claimed while disabled")
		}
		e.send(alwayson.Post, serviceOf("fan", "EnableThing"))
		e.expect("NotifyPropertyUpdate", nil)
		if !bound(p, "fan") {
			t.Fatal("not claimed when it was enabled again")
		}
	})
	t.Run("a gateway is a thing of its type", func(t *testing.T) {
		p := start(t, strict)
		a, b := connect(t, p), connect(t, p)
		g := func(kind string) *alwayson.Bind {
			return &alwayson.Bind{Gateway: &alwayson.Gateway{Name: "plant", Type: kind}, Names: []string{"pump-1"}}
		}
		if resp, _ := a.exchange(alwayson.BindCode, g("Nonsense")); resp.Code.IsSuccess() {
			t.Fatal("unknown gateway type accepted")
		}
		if resp, _ := a.exchange(alwayson.BindCode, g("EMSGateway")); !resp.Code.IsSuccess() || !bound(p, "plant") {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
		if resp, _ := b.exchange(alwayson.BindCode, &alwayson.Bind{Gateway: &alwayson.Gateway{Name: "plant", Type: "SDKGateway"}}); resp.Code.IsSuccess() {
			t.Fatal("gateway of another type accepted")
		}
		if resp, _ := a.exchange(alwayson.Unbind, g("EMSGateway")); !resp.Code.IsSuccess() || bound(p, "plant") {
			t.Fatalf("after UNBIND: %v, bound %v", resp.Code, bound(p, "plant"))
		}
	})
	t.Run("thousands of names come in chunks and are all bound", func(t *testing.T) {
		p := start(t, Options{})
		e := connect(t, p)
		var names []string
		for i := range 4000 {
			names = append(names, fmt.Sprintf("SteamGT2-%04d", i))
		}
		if resp := e.bind(names...); !resp.Code.IsSuccess() {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
		if got := len(p.Connections()[0].Bound); got != 4000 {
			t.Fatalf("%d bound", got)
		}
		if resp, _ := e.exchange(alwayson.Unbind, &alwayson.Bind{Names: names}); !resp.Code.IsSuccess() || len(p.Connections()[0].Bound) != 0 {
			t.Fatalf("UNBIND %v, %d left", resp.Code, len(p.Connections()[0].Bound))
		}
	})
}
