package mapping_test

import (
	"strings"
	"testing"
	"time"

	"thingbridge/mapping"
)

const several = `
profiles:
  - name: oven
    thing: ${id}
    announce:
      - {topic: "found/{id}/{part}", merge: true, define: '{"properties": fromPairs([[part, {"type": "NUMBER"}]])}'}
      - {topic: "told/{id}", creates: false, define: '{"properties": {"told": {"type": "NUMBER"}}}'}
`

func TestADeviceWithoutWhatIsNoLongerRetained(t *testing.T) {
	for _, tt := range []struct {
		name           string
		retained, live []string // what announced it
		gone           string   // topics, separated by blanks
		want           string   // its properties, "left", or "" where nothing comes of it
	}{
		{"one of two is gone", []string{"found/o/a", "found/o/b"}, nil, "found/o/a", "b"},
		{"another device's is gone", []string{"found/o/a", "found/o/b"}, nil, "found/x/a", ""},
		{"both are gone", []string{"found/o/a", "found/o/b"}, nil, "found/o/a found/o/b", "left"},
		{"one that was never retained counts as there", []string{"found/o/a"}, []string{"found/o/b"}, "found/o/a found/o/b", "b"},
		{"what only tells more makes no device", []string{"found/o/a", "told/o"}, nil, "found/o/a", "left"},
		{"what only told more is gone", []string{"found/o/a", "told/o"}, nil, "told/o", "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, several)
			say := func(topic string, retained bool) {
				for _, eff := range e.Handle(&mapping.Input{Topic: topic, Payload: []byte("{}"), Retained: retained, Now: time.Now()}, nil) {
					if a, ok := eff.(*mapping.Announced); ok {
						if _, err := e.Put(a.Device); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for _, topic := range tt.retained {
				say(topic, true)
			}
			for _, topic := range tt.live {
				say(topic, false)
			}
			got := ""
			for _, eff := range e.Without("o", func(topic string) bool { return strings.Contains(" "+tt.gone+" ", " "+topic+" ") }, time.Now()) {
				switch eff := eff.(type) {
				case *mapping.Announced:
					if eff.Live || eff.Fresh {
						t.Error("it is announced as if the device had spoken")
					}
					for _, name := range []string{"a", "b", "told"} {
						if eff.Device.Definitions.Properties[name] != nil {
							got += name
						}
					}
				case *mapping.Left:
					got += "left"
				default:
					t.Errorf("%T %+v", eff, eff)
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if effects := engine(t, several).Without("nobody", func(string) bool { return true }, time.Now()); effects != nil {
		t.Errorf("an unknown device: %v", effects)
	}
}
