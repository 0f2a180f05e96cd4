package presets_test

import (
	"testing"
	"time"

	"thingbridge/mapping"
)

func TestADeviceExpiresAfterTheLongestOfItsTimes(t *testing.T) {
	e := homeassistantEngine(t)
	for topic, payload := range map[string]string{
		"homeassistant/sensor/d/a/config": `{"dev":{"ids":"d"},"stat_t":"d/a","exp_aft":60}`,
		"homeassistant/sensor/d/b/config": `{"dev":{"ids":"d"},"stat_t":"d/b","exp_aft":300.5}`,
		"homeassistant/sensor/d/c/config": `{"dev":{"ids":"d"},"stat_t":"d/c"}`,
	} {
		take(t, e, topic, []byte(payload))
	}
	if got := e.Device("d").ExpireAfter; got != 300*time.Second+500*time.Millisecond {
		t.Errorf("it expires after %v", got)
	}
}

// An announcement that comes live brings nobody back: it may be a gateway's.
func TestNoAnnouncementOfDiscoveryIsTheDevicesOwnWord(t *testing.T) {
	e := homeassistantEngine(t)
	in := announcements(1, 2)
	for _, m := range in {
		m.Retained = false
		for range 2 { // the same again is no word either
			for _, eff := range e.Handle(m, nil) {
				a, ok := eff.(*mapping.Announced)
				if !ok {
					t.Fatal(eff)
				}
				if a.Live || !a.Fresh {
					t.Errorf("live %v, fresh %v", a.Live, a.Fresh)
				}
				if _, err := e.Put(a.Device); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// What a device was announced by is built once: another announcement of it leaves
// what the others compiled to.
func TestAnnouncementsOfADeviceCostTheirNumberAndNotItsSquare(t *testing.T) {
	allocs := func(n int) float64 {
		list := announcements(1, n)
		e := homeassistantEngine(t)
		hear(t, e, list[:n-1])
		last := list[n-1]
		return testing.AllocsPerRun(1, func() {
			if len(e.Handle(last, nil)) == 0 {
				t.Fatal("nothing")
			}
		})
	}
	few, many := allocs(20), allocs(400)
	if many > 3*few {
		t.Errorf("one more announcement costs %v allocations beside 20 others, %v beside 400", few, many)
	}
	t.Logf("%v and %v allocations", few, many)
}
