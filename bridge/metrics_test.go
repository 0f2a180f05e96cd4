package bridge_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
)

// series gives the counters and gauges of a registry as "name{label=value}".
func series(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			all[strings.TrimPrefix(f.GetName(), "thingbridge_")+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return all
}

func TestMetricsTellWhatBecameOfMessagesAndLinks(t *testing.T) {
	reg := prometheus.NewRegistry()
	bubble(t, pump("temp"), func(r *rig) {
		r.live("things/pump-1/announce", `{"services":{"Reset":{}}}`)
		r.live("things/pump-1/properties", `{"temp":1}`)
		r.live("things/pump-1/status", "tired")
		r.service("pump-1", "Reset")
		synctest.Wait()
		time.Sleep(time.Minute)
		lost := float64(time.Now().Unix())
		r.platform.down()
		synctest.Wait()
		time.Sleep(time.Minute)
		r.live("things/pump-1/properties", `{"temp":2,"more":3}`)
		got := series(r.t, reg)
		want := map[string]float64{
			"profile_messages_total{direction=in,profile=native}":    4,
			"profile_messages_total{direction=out,profile=native}":   1,
			"values_held_total{state=unbound}":                       2,
			"values_total{outcome=sent}":                             1,
			"link_up{link=broker}":                                   1,
			"link_up{link=platform}":                                 0,
			"link_since_timestamp_seconds{link=platform}":            lost,
			"things{state=unbound}":                                  1,
			"things{state=ready}":                                    0,
			"calls_total{kind=service,outcome=timeout}":              1,
			"rejected_total{reason=presence,rule=native/presence/1}": 1,
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				r.t.Errorf("%s is %v, want %v", name, got[name], want[name])
			}
		}
		d, _ := r.b.Thing("pump-1")
		if !slices.ContainsFunc(d.Recent, func(p bridge.Problem) bool { return p.Kind == "presence" && strings.Contains(p.Text, `"tired"`) }) {
			r.t.Errorf("the Thing's troubles do not tell of its status: %v", d.Recent)
		}
	}, func(o *bridge.Options) { o.Registerer = reg })
}
