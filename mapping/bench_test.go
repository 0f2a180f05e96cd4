package mapping_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"thingbridge/mapping"
)

// telemetry is a message of 300 bytes with five values.
const telemetry = `{"device":{"id":"pump-000123","fw":"2.4.1","site":"plant-7/line-2","model":"P-200"},"ts":1777863721000,"m":{"flow":12.75,"pressure":3.25,"temperature":41.5,"level":77},"state":"RUNNING","alarm":false,"counter":184467,"text":"some more words so that the payload has its three hundred bytes in a row....."}`

// manyRules makes a profile with n property rules, each on a topic of its own.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("profiles:\n  - name: p\n    thing: ${id}\n    announce: {topic: \"x/{id}/hello\"}\n    properties:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {topic: \"x/{id}/t%d\", time: payload.ts, values: {flow: {value: payload.m.flow, type: NUMBER}, pressure: {value: payload.m.pressure, type: NUMBER}, temperature: {value: payload.m.temperature, type: NUMBER}, level: {value: payload.m.level, type: INTEGER}, state: {value: payload.state, type: STRING}}}\n", i)
	}
	return b.String()
}

func BenchmarkMatchDecodeConvert(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d rules", n), func(b *testing.B) {
			e := engine(b, manyRules(n))
			put(b, e, "x/pump-1/hello", "{}")
			msg := in(fmt.Sprintf("x/pump-1/t%d", n/2), telemetry)
			var dst []mapping.Effect
			b.ReportAllocs()
			for b.Loop() {
				dst = e.Handle(msg, dst[:0])
			}
			if len(dst) != 1 || len(dst[0].(*mapping.Values).Values) != 5 {
				b.Fatal(show(dst))
			}
		})
	}
	b.Run("native", func(b *testing.B) {
		e := newNative(b)
		put(b, e, "things/pump-1/announce", `{"properties":{"flow":"NUMBER"}}`)
		msg := in("things/pump-1/properties", `{"flow":12.75,"pressure":3.25,"temperature":41.5,"level":77,"state":"RUNNING"}`)
		var dst []mapping.Effect
		b.ReportAllocs()
		for b.Loop() {
			dst = e.Handle(msg, dst[:0])
		}
	})
	b.Run("computed values", func(b *testing.B) {
		e := engine(b, profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/t", values: {flow: payload.m.flow * 2, on: 'payload.state == "RUNNING"', p: payload.m.pressure + 1, t: 'payload.m.temperature ?? 0', l: 'payload.m.level > 5'}}
`))
		put(b, e, "x/a", "{}")
		msg := in("x/a/t", telemetry)
		var dst []mapping.Effect
		b.ReportAllocs()
		for b.Loop() {
			dst = e.Handle(msg, dst[:0])
		}
		if len(dst) != 1 {
			b.Fatal(show(dst))
		}
	})
}

func TestTheCostOfAMessageDoesNotGrowWithTheRules(t *testing.T) {
	allocs := map[int]float64{}
	for _, n := range []int{1, 1000} {
		e := engine(t, manyRules(n))
		put(t, e, "x/pump-1/hello", "{}")
		msg := in("x/pump-1/t0", telemetry)
		var dst []mapping.Effect
		allocs[n] = testing.AllocsPerRun(100, func() { dst = e.Handle(msg, dst[:0]) })
		if len(dst) != 1 {
			t.Fatal(show(dst))
		}
	}
	if allocs[1] != allocs[1000] || allocs[1] > 30 {
		t.Errorf("allocations per message by number of rules: %v", allocs)
	}
}

func TestAnIdleNativeDeviceIsSmall(t *testing.T) {
	const n = 20_000
	e := newNative(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		put(t, e, fmt.Sprintf("things/pump-%06d/announce", i), `{"properties":{"flow":"NUMBER","run":{"type":"BOOLEAN","writable":true}},"services":{"Reset":{}}}`)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / n; each > 1024 {
		t.Errorf("%d bytes a device", each)
	} else {
		t.Logf("%d bytes a device", each)
	}
	runtime.KeepAlive(e)
}
