package mapping_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"thingbridge/mapping"
)

// wholeDecoder announces one property of a device, "id name topic", by whole
// fragments.
type wholeDecoder struct{}

func (wholeDecoder) Decode(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	words := strings.Fields(string(in.Payload))
	switch {
	case len(words) == 1 && words[0] == "later":
		return nil, &mapping.Pass{Why: "it says so later", Keep: true}
	case len(words) == 1 && words[0] == "other":
		return nil, &mapping.Pass{Why: "it is another's"}
	case len(words) < 3:
		return nil, errors.New("three words are wanted")
	}
	f := mapping.Fragment{Thing: words[0], Whole: true, Quiet: true, Let: map[string]any{"base": words[2]}, Rules: map[string]any{
		"properties": map[string]any{words[1]: map[string]any{"type": "NUMBER", "topic": words[2],
			"write": map[string]any{"topic": words[2] + "/set", "confirm": "echo"}}},
		"presence":     map[string]any{"topic": words[0] + "/status"},
		"expire_after": "1m",
	}}
	if len(words) == 4 {
		f.Rules["expire_after"] = words[3]
	}
	if words[1] == "odd" {
		f.Rules["properties"], f.Skipped = nil, []string{"odd: it is odd"}
	}
	return []mapping.Fragment{f}, nil
}

func (wholeDecoder) Shares(decoder string) bool { return decoder == "split" }

func init() { mapping.RegisterDecoder("whole", wholeDecoder{}) }

const wholeProfile = `
decoder: whole
allow_topics: [t/#, a/status]
announce: {topic: "disc/{part}/config"}
`

func TestWholeFragmentsMakeOneDevice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string
		want  string
	}{
		{"of several announcements, with the longest silence of them", []string{"disc/1/config a x t/x 2m", "disc/2/config a y t/y"}, "announced a live=false expires=2m0s\n"},
		{"whose values arrive", []string{"disc/1/config a x t/x", "disc/2/config a y t/y", "t/x 1"}, "values a x=NUMBER:1\n"},
		{"whose presence is said once, though each announcement names it", []string{"disc/1/config a x t/x", "disc/2/config a y t/y", "a/status offline"}, "presence a online=false\n"},
		{"the first by topic has a name that two declare", []string{"disc/2/config a x t/2", "disc/1/config a x t/1", "t/2 2"}, "unheard"},
		{"one taken back leaves the others", []string{"disc/1/config a x t/x", "disc/2/config a y t/y", "disc/1/config ", "t/x 1"}, "unheard"},
		{"a message passed over leaves what was announced", []string{"disc/1/config a x t/x", "disc/1/config later", "t/x 1"}, "values a x=NUMBER:1\n"},
		{"a message that is another's takes it back", []string{"disc/1/config a x t/x", "disc/1/config other"}, "left a by disc/1/config\n"},
		{"a message that is refused changes nothing", []string{"disc/1/config a x t/x", "disc/1/config broken", "t/x 1"}, "values a x=NUMBER:1\n"},
		{"what is left out is told", []string{"disc/1/config a odd t/x"}, "announced a live=false expires=1m0s\nrejected a definition: odd: it is odd\n"},
		{"and not again when the same is said again", []string{"disc/1/config a odd t/x", "disc/1/config a odd t/x"}, "announced a live=false expires=1m0s\n"},
		{"what is not allowed is refused", []string{"disc/1/config a x u/x"},
			"rejected a definition: properties.x.topic: the topic \"u/x\" must not be used\nrejected a definition: writes.x.topic: the topic \"u/x/set\" must not be used\nannounced a live=false expires=1m0s\n"},
		{"values of several rules are one effect", []string{"disc/1/config a x t/x", "disc/2/config a y t/x", "t/x 1"}, "values a x=NUMBER:1 y=NUMBER:1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, profileOf(wholeProfile))
			got := ""
			for _, step := range tt.steps {
				topic, payload, _ := strings.Cut(step, " ")
				got = show(put(t, e, topic, payload))
			}
			if tt.want == "unheard" {
				if !strings.Contains(got, "unknown_rule") {
					t.Errorf("it is heard:\n%s", got)
				}
				return
			}
			if got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestADeviceOfWholeFragmentsIsRestored(t *testing.T) {
	e := engine(t, profileOf(wholeProfile))
	for _, m := range []string{"a x t/x", "a odd t/y", "a x t/z"} {
		put(t, e, "disc/"+m[2:3]+m[len(m)-1:]+"/config", m)
	}
	data, err := e.Save("a")
	if err != nil {
		t.Fatal(err)
	}
	d, err := engine(t, profileOf(wholeProfile)).Restore(data)
	if err != nil || d.Definitions.Properties["x"] == nil || len(d.Skipped) != 2 {
		t.Fatalf("restored %+v %v", d, err)
	}
	if want := "the property x of disc/xz/config is left out: another announcement of the device has that name"; d.Skipped[1] != want {
		t.Errorf("left out %q", d.Skipped)
	}
	other := strings.ReplaceAll(string(data), "YSB4IHQveA==", "b3RoZXI=") // "a x t/x" becomes "other"
	other = strings.ReplaceAll(other, "YSBvZGQgdC95", "b3RoZXI=")
	other = strings.ReplaceAll(other, "YSB4IHQveg==", "b3RoZXI=")
	if _, err := engine(t, profileOf(wholeProfile)).Restore([]byte(other)); err == nil {
		t.Error("a device that nothing announces any longer is restored")
	}
}

func TestWhatIsAnnouncedOfADeviceThatWaitsIsMerged(t *testing.T) {
	e := engine(t, profileOf(wholeProfile))
	announced := func(topic, payload string) *mapping.Device {
		t.Helper()
		for _, eff := range e.Handle(in(topic, payload), nil) {
			if a, ok := eff.(*mapping.Announced); ok {
				return a.Device
			}
		}
		t.Fatalf("%s %s announces nothing", topic, payload)
		return nil
	}
	e.Defer(announced("disc/1/config", "a x t/x"))
	e.Defer(announced("disc/2/config", "a y t/y"))
	put(t, e, "disc/9/config", "b z t/y") // takes the topic meanwhile
	d := announced("disc/3/config", "a w t/w")
	e.Defer(d)
	d = announced("disc/1/config", "")
	if _, err := e.Put(d); err != nil {
		t.Fatal(err)
	}
	if len(d.Sources) != 2 || d.Definitions.Properties["x"] != nil || d.Definitions.Properties["w"] == nil {
		t.Errorf("%q %v", d.Sources, d.Definitions.Properties)
	}
	if got := show(put(t, e, "t/y", "5")); got != "values b z=NUMBER:5\n" {
		t.Errorf("a topic has two Things:\n%s", got)
	}
}

func TestTopicsOfAGroupSpeakTogether(t *testing.T) {
	profile := func(need string) string {
		return profileOf(fmt.Sprintf(`
thing: ${id}
announce: x/{id}/hello
presence:
  - {topic: "x/{id}/a", group: g, need: %s}
  - {topic: "x/{id}/b", group: g, need: %[1]s}
properties: {topic: "x/{id}/v", value: payload, property: v}
`, need))
	}
	for _, tt := range []struct{ need, said, want string }{
		{"all", "a=offline", "offline"},
		{"all", "a=offline b=online", "offline"},
		{"all", "a=offline b=offline a=online", "offline"},
		{"all", "a=offline b=offline a=online b=online", "online"},
		{"any", "a=offline", "online"},
		{"any", "a=offline b=offline", "offline"},
		{"any", "a=offline b=offline a=online", "online"},
		{"latest", "a=offline b=online", "online"},
		{"latest", "a=online b=offline", "offline"},
	} {
		e := engine(t, profile(tt.need))
		put(t, e, "x/d/hello", "{}")
		got := ""
		for _, word := range strings.Fields(tt.said) {
			topic, payload, _ := strings.Cut(word, "=")
			got = show(put(t, e, "x/d/"+topic, payload))
			put(t, e, "x/d/hello", "{}") // what was said is not forgotten
		}
		if want := fmt.Sprintf("presence d online=%v\n", tt.want == "online"); got != want {
			t.Errorf("%s %s: %s", tt.need, tt.said, got)
		}
	}
}
