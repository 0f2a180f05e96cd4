package presets_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// announcements are the configurations of devices, in the order in which a broker
// that keeps them by topic hands them over: component by component.
func announcements(devices, components int) (in []*mapping.Input) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for c := range components {
		for d := range devices {
			platform, more := "sensor", `"unit_of_meas":"°C","stat_cla":"measurement"`
			if c%4 == 3 {
				platform, more = "switch", fmt.Sprintf(`"cmd_t":"plant/line-%d/p%d/set"`, d, c)
			}
			in = append(in, &mapping.Input{Topic: fmt.Sprintf("homeassistant/%s/dev%d/p%d/config", platform, d, c), Retained: true, Now: now,
				Payload: fmt.Appendf(nil, `{"name":"Point %d","uniq_id":"dev%d_p%d","stat_t":"plant/line-%d/state","val_tpl":"{{ value_json.p%d }}",%s,`+
					`"avty":[{"t":"plant/gateway/state"},{"t":"plant/line-%d/status"}],"avty_mode":"all","qos":1,`+
					`"dev":{"ids":["dev%d"],"name":"Line %d","mf":"Acme","mdl":"L-200","sw":"2.1"},"o":{"name":"acme-gw","sw":"0.9","url":"https://example.com"}}`, c, d, c, d, c, more, d, d, d)})
		}
	}
	return in
}

func homeassistantEngine(t testing.TB) *mapping.Engine {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: homeassistant}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return mapping.NewEngine(p, mapping.Options{})
}

func hear(t testing.TB, e *mapping.Engine, list []*mapping.Input) {
	t.Helper()
	for _, in := range list {
		effects := e.Handle(in, nil)
		if len(effects) != 1 {
			t.Fatal(effects)
		}
		a, ok := effects[0].(*mapping.Announced)
		if !ok {
			t.Fatal(effects[0])
		}
		if _, err := e.Put(a.Device); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkHomeAssistantAnnouncements is the time of one announcement, among those
// of its device and of its plant.
func BenchmarkHomeAssistantAnnouncements(b *testing.B) {
	for _, size := range [][2]int{{1, 1}, {1, 20}, {1, 300}, {200, 20}} {
		b.Run(fmt.Sprintf("%d devices with %d", size[0], size[1]), func(b *testing.B) {
			list := announcements(size[0], size[1])
			var before, after runtime.MemStats
			b.ReportAllocs()
			for b.Loop() {
				e := homeassistantEngine(b)
				if size[0] > 1 {
					runtime.GC()
					runtime.ReadMemStats(&before)
				}
				hear(b, e, list)
				if size[0] > 1 {
					runtime.GC()
					runtime.ReadMemStats(&after)
					b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(list)), "B/announcement")
				}
				runtime.KeepAlive(e)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(list)), "µs/announcement")
		})
	}
}
