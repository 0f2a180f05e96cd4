package simulator

import (
	"slices"
	"testing"

	"thingbridge/edge/alwayson"
)

func TestSynchronisation(t *testing.T) {
	t.Run("the answer to the BIND comes before anything that follows from it", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := connect(t, p)
		id := e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"pump-1"}})
		if m := e.next(); m.RequestID != id || !m.Code.IsStatus() {
			t.Fatalf("first came %v %x", m.Code, m.RequestID)
		}
		if m := e.next(); m.RequestID < firstRequestID {
			t.Fatalf("own id %x", m.RequestID)
		}
	})
	t.Run("subscriptions name the remote property, the push type and the threshold", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := connect(t, p)
		e.mustBind("pump-1")
		subs, err := alwayson.SubscriptionsFromTable(e.must(alwayson.Post, alwayson.SubscriptionsRequest("pump-1")).Table())
		want := []alwayson.Subscription{
			{EdgeName: "flow", Push: alwayson.PushValue, Threshold: 0.5},
			{EdgeName: "level", Push: alwayson.PushDeadband, Threshold: 2},
			{EdgeName: "isRunning", Push: alwayson.PushAlways},
		}
		if err != nil || !slices.Equal(subs, want) {
			t.Fatalf("%v %+v", err, subs)
		}
		table := e.must(alwayson.Post, serviceOf("pump-1", "GetPropertySubscriptions")).Table()
		if got := table.Cell(1, "pushType").Text(); got != "VALUE" {
			t.Fatalf("without hasDeadband: %s", got)
		}
	})
	t.Run("the new way carries the tables and takes current values", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}, Sync: SyncNew})
		e := connect(t, p)
		e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"pump-1"}})
		m, req := e.expect("SynchronizeModelState", nil)
		in := params{req.Params}
		if n := len(in.table("propertyInfo").Rows); n != 3 {
			t.Fatalf("%d properties", n)
		}
		if got := in.table("eventInfo").Cell(0, "edgeName").Text(); got != "Alarm" {
			t.Fatalf("event %q", got)
		}
		e.answer(m, result(alwayson.NewTable(alwayson.ValuesTable([]alwayson.PropertyValue{good("flow", alwayson.NewNumber(1), 5)}))))
		eventually(t, "current value stored", func() bool { v, ok := p.Value("pump-1", "flow"); return ok && v.Time == 5 })
		e.push("pump-1", good("flow", alwayson.NewNumber(2), 6))
		if v, _ := p.Value("pump-1", "flow"); v.Time != 6 {
			t.Fatalf("value %+v", v)
		}
	})
	t.Run("the new way falls back to the old on NOT_FOUND", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}, Sync: SyncNew})
		connect(t, p).mustBind("pump-1")
	})
	t.Run("both ways come both", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}, Sync: SyncBoth})
		e := connect(t, p)
		e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"pump-1"}})
		m, _ := e.expect("SynchronizeModelState", nil)
		e.answer(m, result(alwayson.NewTable(alwayson.ValuesTable(nil))))
		e.expect("NotifyPropertyUpdate", nil)
	})
	t.Run("an edit of the bindings is told to the edge", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := connect(t, p)
		e.mustBind("pump-1")
		for _, edit := range []*alwayson.Request{
			serviceOf("pump-1", "SetRemotePropertyBinding", text("propertyName", "note"), text("pushType", "ALWAYS")),
			serviceOf("pump-1", "RemoveRemotePropertyBinding", text("propertyName", "note")),
			serviceOf("pump-1", "AddPropertyDefinition", text("name", "new"), text("type", "NUMBER"), named("remote", alwayson.NewBoolean(true))),
			serviceOf("pump-1", "RestartThing"),
		} {
			e.send(alwayson.Post, edit)
			m, _ := e.expect("NotifyPropertyUpdate", nil)
			e.answer(m, ok(alwayson.Value{}))
		}
	})
}

func metadataOf(name string, props ...alwayson.PropertyDefinition) *alwayson.Response {
	m := alwayson.Metadata{
		Name: name, Properties: props,
		Services: []alwayson.ServiceDefinition{{
			Name:   "Reset",
			Inputs: []alwayson.FieldDefinition{{Name: "times", Type: alwayson.TypeInteger}},
			Output: alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeString},
		}},
		Events: []alwayson.EventDefinition{{Name: "Alarm"}},
	}
	return result(alwayson.NewText(alwayson.TypeJSON, string(m.JSON())))
}

func propertyOf(name string, base alwayson.BaseType, push alwayson.PushType) alwayson.PropertyDefinition {
	return alwayson.PropertyDefinition{FieldDefinition: alwayson.FieldDefinition{Name: name, Type: base}, Push: push}
}

func TestAnUnknownNameBecomesAThing(t *testing.T) {
	p := start(t, Options{})
	e := connect(t, p)
	learn := func(props ...alwayson.PropertyDefinition) {
		e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"lamp"}})
		m, _ := e.expect("GetMetadata", nil)
		if p.lookup("lamp").info().Services == nil {
			resp, _ := p.Call(t.Context(), alwayson.Post, alwayson.SubscriptionsRequest("lamp"))
			if resp == nil || resp.Code != alwayson.ServiceUnavailable {
				t.Fatalf("subscriptions before the definitions are there: %+v", resp)
			}
		}
		e.answer(m, metadataOf("lamp", props...))
		m, _ = e.expect("NotifyPropertyUpdate", nil)
		e.answer(m, ok(alwayson.Value{}))
	}
	learn(propertyOf("power", alwayson.TypeNumber, alwayson.PushAlways), propertyOf("mode", alwayson.TypeString, alwayson.PushValue))
	subs, _ := alwayson.SubscriptionsFromTable(e.must(alwayson.Post, alwayson.SubscriptionsRequest("lamp")).Table())
	if len(subs) != 2 || subs[0].EdgeName != "power" || subs[0].Push != alwayson.PushAlways {
		t.Fatalf("subscriptions %+v", subs)
	}
	e.push("lamp", good("power", alwayson.NewNumber(5), 1))
	info := p.lookup("lamp").info()
	if !info.Auto || info.Template != "RemoteThing" || !slices.Equal(info.Services, []string{"Reset"}) || !slices.Equal(info.Events, []string{"Alarm"}) {
		t.Fatalf("%+v", info)
	}
	learn(propertyOf("power", alwayson.TypeNumber, alwayson.PushAlways), propertyOf("colour", alwayson.TypeString, alwayson.PushValue))
	if info = p.lookup("lamp").info(); !slices.Equal(info.Properties, []string{"power", "colour", "mode"}) {
		t.Fatalf("after the second BIND %v", info.Properties)
	}
	if v, known := p.Value("lamp", "power"); !known || v.Value.Number() != 5 {
		t.Fatal("a property that stayed lost its value")
	}
	if resp, _ := p.Call(t.Context(), alwayson.Post, serviceOf("lamp", "Explode")); resp == nil || resp.Code != alwayson.NotFound {
		t.Fatalf("a service that is not among those it described: %+v", resp)
	}
	for _, name := range []string{"a/b", "me", " x"} {
		if resp := e.bind(name); !resp.Code.IsSuccess() || p.lookup(name) != nil {
			t.Fatalf("%q: %v", name, resp.Code)
		}
	}
	if n := len(p.Connections()[0].Unclaimed); n != 3 {
		t.Fatalf("%d unclaimed", n)
	}
	e.send(alwayson.BindCode, &alwayson.Bind{Names: []string{"*SN-1"}})
	e.expect("GetMetadata", nil)
	if th := p.lookup("*sn-1"); th == nil || th.name != "SN-1" {
		t.Fatal("no thing for the identifier")
	}
}

func TestPushesThatAreDropped(t *testing.T) {
	flow := func(ms int64) alwayson.PropertyValue { return good("flow", alwayson.NewNumber(1), ms) }
	for _, c := range []struct {
		name string
		asks bool
		v    alwayson.PropertyValue
		why  string
	}{
		{"before the subscriptions were asked", false, flow(1), droppedNotAsked},
		{"after they were asked it is kept", true, flow(1), ""},
		{"for a property without a binding", true, good("note", alwayson.NewString("x"), 1), droppedUnbound},
		{"by the local name of a property whose remote name differs", true, good("running", alwayson.NewBoolean(true), 1), droppedUnbound},
		{"by its remote name it is kept", true, good("isRunning", alwayson.NewBoolean(true), 1), ""},
		{"a null", true, good("flow", alwayson.Value{}, 1), droppedNull},
		{"a text that is no number", true, good("flow", alwayson.NewString("much"), 1), droppedType},
		{"a text that is a number is kept", true, good("flow", alwayson.NewString("1.5"), 1), ""},
		{"a number that is no INTEGER's size", true, good("level", alwayson.NewNumber(1e12), 1), droppedType},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
			e := connect(t, p)
			if c.asks {
				e.mustBind("pump-1")
			} else {
				e.bind("pump-1")
			}
			values := columns("name", "value:VARIANT", "time:DATETIME", "quality") // by hand, for the null
			addRow(values, c.v.Name, alwayson.NewVariant(c.v.Value), c.v.Time, c.v.Quality)
			req := serviceOf("pump-1", "UpdateSubscribedPropertyValues", named("values", alwayson.NewTable(values)))
			if resp := e.request(alwayson.Post, req); !resp.Code.IsSuccess() {
				t.Fatalf("push: %v %s", resp.Code, resp.Reason)
			}
			log := p.Pushes("pump-1")
			if len(log) != 1 || log[0].Dropped != c.why || log[0].Name != c.v.Name {
				t.Fatalf("log %+v", log)
			}
			st := p.Stats()
			if (c.why == "") != (st.Values == 1) || (c.why != "") != (st.ValuesDropped == 1) || c.why != "" && st.DroppedByReason[c.why] != 1 {
				t.Fatalf("stats %+v", st)
			}
		})
	}
}

func TestHistoriesAndLogsAreBounded(t *testing.T) {
	p := start(t, Options{Strict: true, Things: []ThingSpec{pump}, HistoryLimit: 3, PushLimit: 4, EventLimit: 2})
	e := connect(t, p)
	e.mustBind("pump-1")
	for i := range 10 {
		e.push("pump-1", good("flow", alwayson.NewNumber(float64(i)), int64(i)))
		e.must(alwayson.Post, alwayson.EventRequest("pump-1", "Alarm", alwayson.OneRow(number("code", float64(i)))))
	}
	h, log, ev := p.History("pump-1", "flow"), p.Pushes("pump-1"), p.Events("pump-1")
	if len(h) != 3 || h[0].Time != 7 || h[2].Time != 9 || len(log) != 4 || log[0].Time != 6 || len(ev) != 2 || ev[1].Data.Cell(0, "code").Number() != 9 {
		t.Fatalf("history %v, log %v, events %v", h, log, ev)
	}
}
