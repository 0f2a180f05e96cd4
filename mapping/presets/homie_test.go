package presets_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"thingbridge/mapping"
)

// homie4Attributes are the retained messages of one device with so many properties:
// six for each.
func homie4Attributes(id string, properties int) [][2]string {
	base := "homie/" + id + "/"
	list := [][2]string{{base + "$homie", "4.0.0"}, {base + "$name", "device " + id}, {base + "$nodes", "n"}, {base + "n/$name", "node"}}
	var names []string
	for i := range properties {
		name := fmt.Sprintf("p%d", i)
		names = append(names, name)
		p := base + "n/" + name + "/"
		list = append(list, [2]string{p + "$name", "Property " + name}, [2]string{p + "$datatype", "float"}, [2]string{p + "$format", "0:100"},
			[2]string{p + "$settable", "true"}, [2]string{p + "$retained", "true"}, [2]string{p + "$unit", "V"})
	}
	return append(list, [2]string{base + "n/$properties", strings.Join(names, ",")})
}

// comeUp hands in the attributes of devices, all mixed, and announces what was
// gathered. It tells how many messages there were.
func comeUp(tb testing.TB, devices, properties int) int {
	tb.Helper()
	e := mapping.NewEngine((&family{preset: "homie"}).profiles(tb), mapping.Options{})
	var all [][2]string
	for i := range devices {
		all = append(all, homie4Attributes(fmt.Sprintf("d%d", i), properties)...)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	now := time.Now()
	gathered := map[string]bool{}
	var effects []mapping.Effect
	for _, m := range all {
		effects = e.Handle(&mapping.Input{Topic: m[0], Payload: []byte(m[1]), Retained: true, Now: now}, effects[:0])
		for _, eff := range effects {
			g, ok := eff.(*mapping.Gathering)
			if !ok {
				continue // the preset's other rules
			}
			gathered[g.Thing] = true
		}
	}
	for thing := range gathered {
		for _, eff := range e.Gathered(thing, now) {
			a, ok := eff.(*mapping.Announced)
			if !ok {
				tb.Fatalf("%T %+v", eff, eff)
			}
			if n := len(a.Device.Definitions.Properties); n != properties+3 {
				tb.Fatalf("%s has %d properties", thing, n)
			}
			if _, err := e.Put(a.Device); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if n := len(e.Devices()); n != devices {
		tb.Fatalf("%d devices", n)
	}
	return len(all)
}

// TestManyHomie4DevicesComeUpInTime: each message of a device costs the same,
// however many came before it.
func TestManyHomie4DevicesComeUpInTime(t *testing.T) {
	// Lists of 20 and of 500 properties: what grows with the square costs 25 times as much a message.
	cost := func(devices, properties int) float64 {
		best := time.Duration(1 << 62)
		n := 0
		for range 3 {
			start := time.Now()
			n = comeUp(t, devices, properties)
			best = min(best, time.Since(start))
		}
		return float64(best) / float64(n)
	}
	few, many := cost(25, 20), cost(1, 500)
	t.Logf("%.1f µs a message with 20 properties, %.1f with 500", few/1000, many/1000)
	if many > 8*few {
		t.Errorf("a message of a device with 500 properties costs %.1f µs, with 20 %.1f", many/1000, few/1000)
	}
}

func BenchmarkHomie4DevicesComeUp(b *testing.B) {
	n := 0
	for b.Loop() {
		n += comeUp(b, 50, 50)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/message")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(50*b.N), "µs/device")
}

func TestANodeListedAgainAndAgainIsOneNode(t *testing.T) {
	fam := &family{preset: "homie4"}
	e := mapping.NewEngine(fam.profiles(t), mapping.Options{})
	take(t, e, "homie/d/$homie", []byte("4.0"))
	take(t, e, "homie/d/$nodes", []byte(strings.Repeat("n,", 500)))
	take(t, e, "homie/d/n/$properties", []byte(strings.Repeat("v,w, v,", 500)))
	take(t, e, "homie/d/n/w/$datatype", []byte("float"))
	take(t, e, "homie/d/n/v/$datatype", []byte("integer"))
	d := e.Device("d")
	if d == nil || len(d.Skipped) != 0 || d.Definitions.Properties["n_v"] == nil || d.Definitions.Properties["n_w"] == nil {
		t.Errorf("it became %+v", d)
	}
}

func TestAHomieDeviceHasSoManyPropertiesAtMost(t *testing.T) {
	fam := &family{preset: "homie4"}
	e := mapping.NewEngine(fam.profiles(t), mapping.Options{Limits: mapping.Limits{DefinitionsPerThing: 20_000}})
	var ids strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&ids, "p%d,", i)
	}
	take(t, e, "homie/d/$homie", []byte("4.0"))
	take(t, e, "homie/d/$nodes", []byte("n"))
	take(t, e, "homie/d/n/$properties", []byte(ids.String()))
	take(t, e, "homie/d/n/p5/$datatype", []byte("float"))
	d := e.Device("d")
	if d == nil || len(d.Skipped) > 10_001 || d.Definitions.Properties["n_p5"] == nil {
		t.Errorf("%v has %d left out", d != nil, len(d.Skipped))
	}
}

// FuzzHomie5Descriptions and FuzzHomie4Attributes hand foreign announcements to
// the decoders: nothing stops them, and what they make can be used.
func FuzzHomie5Descriptions(f *testing.F) {
	(&family{preset: "homie5", topics: []string{"homie/5/d/$description", "homie/5/d/$description"},
		values: []string{"homie/5/d/$state", "homie/5/d/n/v", "homie/5/d/n/v/$target", "homie/5/d/$alert/a", "homie/5/d/$log/warn"},
		sends: func(topic string) bool {
			return strings.HasPrefix(topic, "homie/5/d/") && strings.HasSuffix(topic, "/set")
		}}).fuzz(f)
}

func FuzzHomie4Attributes(f *testing.F) {
	fam := &family{preset: "homie4", sends: func(topic string) bool {
		return strings.HasPrefix(topic, "homie/") && strings.HasSuffix(topic, "/set")
	}}
	f.Add([]byte("n,m,o[]"), []byte("v,w"), []byte("integer"), []byte("1:2:1"))
	f.Add([]byte("n"), []byte("v"), []byte("enum"), []byte("a,,b,c"))
	p := fam.profiles(f)
	f.Add([]byte(strings.Repeat("n,", 1000)), []byte(strings.Repeat("v,", 1000)), []byte("color"), []byte("rgb"))
	f.Fuzz(func(t *testing.T, nodes, properties, datatype, format []byte) {
		if len(nodes)+len(properties)+len(datatype)+len(format) > 8<<10 {
			return
		}
		e := mapping.NewEngine(p, mapping.Options{})
		take(t, e, "homie/d/$homie", []byte("4.0"))
		take(t, e, "homie/d/$nodes", nodes)
		names := strings.Split(string(nodes), ",")
		for _, node := range append(names[:min(len(names), 8)], "n") { // all that are announced are used each time
			for _, m := range [][2]string{{"$properties", string(properties)}, {"v/$datatype", string(datatype)}, {"v/$format", string(format)}, {"v/$settable", "true"}, {"v", string(format)}} {
				if topic := "homie/d/" + strings.TrimSpace(node) + "/" + m[0]; mapping.ValidTopic(topic) {
					for _, thing := range take(t, e, topic, []byte(m[1])) {
						fam.use(t, e, thing)
					}
				}
			}
		}
	})
}
