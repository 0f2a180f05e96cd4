package bridge

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

func sameValue(a, b alwayson.Value) bool { return a.Equal(b) }

func TestValuesSurviveTheirRecord(t *testing.T) {
	vals := []alwayson.PropertyValue{
		{Name: "n", Value: alwayson.NewNumber(1.5), Time: 1_700_000_000_123, Quality: alwayson.QualityGood},
		{Name: "ünï/code", Value: alwayson.NewString(""), Time: -1, Quality: "MY OWN"},
		{Name: "", Value: alwayson.NewTable(alwayson.OneRow(alwayson.Named{Name: "a", Value: alwayson.NewBoolean(true)})), Quality: alwayson.QualityBad},
		{Name: "where", Value: alwayson.NewLocation(alwayson.Location{Latitude: 1, Longitude: 2, Elevation: 3}), Quality: alwayson.QualityGood},
	}
	rec, err := encodeValues("t", vals, time.UnixMilli(5))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeValues(nil, rec.Data, func(b []byte) string { return string(b) })
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(vals, got, cmp.Comparer(sameValue)); d != "" || rec.Thing != "t" || rec.Time != 5 {
		t.Errorf("%+v: %s", rec, d)
	}
}

func TestRecordsOfTheSamePropertiesHaveTheSameKey(t *testing.T) {
	key := func(names ...string) string {
		var vals []alwayson.PropertyValue
		for _, n := range names {
			vals = append(vals, alwayson.PropertyValue{Name: n})
		}
		return foldKey(vals)
	}
	if key("a", "b") != key("b", "a") || key("a", "b") == key("a") || key("ab") == key("a", "b") {
		t.Error("keys do not tell sets of properties apart")
	}
	if key(string(make([]byte, 150)), string(make([]byte, 150))) != "" {
		t.Error("a long key is kept")
	}
}

func TestEventsAndRawMessagesSurviveTheirRecord(t *testing.T) {
	when := time.UnixMilli(1_700_000_000_000)
	for _, data := range []*alwayson.InfoTable{nil, alwayson.OneRow(alwayson.Named{Name: "code", Value: alwayson.NewInteger(7)})} {
		rec, err := encodeEvent(&mapping.Event{Thing: "t", Name: "Alarm", Data: data, Time: when}, when)
		if err != nil {
			t.Fatal(err)
		}
		e, err := decodeEvent("t", rec.Data)
		if err != nil || e.Name != "Alarm" || !e.Time.Equal(when) || (data == nil) != (e.Data == nil) || data != nil && !data.Equal(e.Data) {
			t.Errorf("%+v, %v", e, err)
		}
		if rec.Key != "" {
			t.Error("events must not fold")
		}
	}
	in := &mapping.Input{Topic: "a/b", Payload: []byte{0, 1, 2}, Retained: true, Now: when}
	got, err := decodeRaw(encodeRaw("t", in).Data)
	if err != nil || got.Topic != in.Topic || !bytes.Equal(got.Payload, in.Payload) || !got.Retained || !got.Now.Equal(when) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzRecord(f *testing.F) {
	rec, _ := encodeValues("t", []alwayson.PropertyValue{{Name: "a", Value: alwayson.NewNumber(1)}, {Name: "b", Value: alwayson.NewString("x"), Quality: "BAD"}}, time.Now())
	f.Add(rec.Data)
	rec, _ = encodeEvent(&mapping.Event{Name: "e", Data: alwayson.OneRow(alwayson.Named{Name: "c", Value: alwayson.NewInteger(1)})}, time.Now())
	f.Add(rec.Data)
	f.Add(encodeRaw("t", &mapping.Input{Topic: "x", Payload: []byte("{}")}).Data)
	f.Add([]byte{recordValues, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		vals, err := decodeValues(nil, data, func(b []byte) string { return string(b) })
		if err == nil && len(vals) > 0 {
			again, err := encodeValues("t", vals, time.Now())
			if err != nil {
				t.Skip()
			}
			back, err := decodeValues(nil, again.Data, func(b []byte) string { return string(b) })
			if err != nil || len(back) != len(vals) {
				t.Fatalf("does not come back: %v", err)
			}
		}
		_, _ = decodeEvent("t", data)
		_, _ = decodeRaw(data)
		decodeSent(data)
	})
}

func TestPromisesSurviveTheStore(t *testing.T) {
	p := &promise{thing: "d", property: "ünï", value: alwayson.NewNumber(2.5), started: time.UnixMilli(5), expires: time.UnixMilli(-7)}
	data, err := encodePromise(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodePromise(data)
	if err != nil || got.thing != p.thing || got.property != p.property || !got.value.Equal(p.value) ||
		!got.started.Equal(p.started) || !got.expires.Equal(p.expires) || got.size != len(data) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range data {
		if _, err := decodePromise(data[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(data))
		}
	}
}

func FuzzPromise(f *testing.F) {
	data, _ := encodePromise(&promise{thing: "d", property: "level", value: alwayson.NewString("x"), started: time.Now(), expires: time.Now()})
	f.Add(data)
	f.Add([]byte{promiseVersion, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePromise(data)
		if err != nil {
			return
		}
		again, err := encodePromise(p)
		if err != nil {
			t.Skip()
		}
		if back, err := decodePromise(again); err != nil || back.thing != p.thing || back.property != p.property {
			t.Fatalf("does not come back: %v", err)
		}
	})
}
