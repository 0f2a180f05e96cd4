package presets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// family is a preset under hostile announcements.
type family struct {
	preset string
	topics []string          // of announcements; the fuzzed payloads go to them in turn
	values []string          // of values
	sends  func(string) bool // topics that may be sent to
}

func (fam *family) profiles(t testing.TB) *mapping.Profiles {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: "+fam.preset+"}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// seed adds the messages of the preset's cases.
func (fam *family) seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", fam.preset, "*.txtar"))
	if err != nil || len(files) == 0 {
		f.Fatal("there are no cases", err)
	}
	var all [][2][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var last []byte
		for _, section := range txtar.Parse(text).Files {
			if strings.HasPrefix(section.Name, "message ") {
				all = append(all, [2][]byte{last, section.Data})
				last = section.Data
			}
		}
	}
	for i, s := range all {
		if seeded(i, len(all)) {
			f.Add(s[0], s[1])
		}
	}
}

// try announces what was fuzzed: nothing may stop the engine, what is announced
// can be saved and restored, and nothing is sent to a topic of another kind.
func (fam *family) try(t *testing.T, p *mapping.Profiles, first, second []byte) {
	if len(first)+len(second) > 64<<10 {
		return
	}
	e := mapping.NewEngine(p, mapping.Options{})
	for i, topic := range fam.topics {
		things := take(t, e, topic, [][]byte{first, second}[i%2])
		for _, thing := range things {
			fam.use(t, e, thing)
		}
	}
	for _, topic := range fam.values {
		take(t, e, topic, first)
		take(t, e, topic, second)
	}
}

func (fam *family) use(t *testing.T, e *mapping.Engine, thing string) {
	t.Helper()
	saved, err := e.Save(thing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Restore(saved); err != nil {
		t.Fatal(err)
	}
	d := e.Device(thing)
	check := func(c *mapping.Call, err error) {
		if err != nil {
			return
		}
		for _, s := range append(c.Send, c.Finally...) {
			if !fam.sends(s.Topic) || !mapping.ValidTopic(s.Topic) {
				t.Fatalf("%s.%s sends to %q", thing, c.Name, s.Topic)
			}
		}
	}
	for name := range d.Definitions.Properties {
		for _, v := range []alwayson.Value{alwayson.NewBoolean(true), alwayson.NewNumber(1), alwayson.NewString("x/+")} {
			check(e.Write(thing, name, v))
		}
	}
	for name := range d.Definitions.Services {
		for _, input := range []string{"value", "name", "method"} {
			check(e.Call(thing, name, alwayson.OneRow(alwayson.Named{Name: input, Value: alwayson.NewString("x/+")})))
		}
	}
	for _, on := range []mapping.AskOn{mapping.AskPresence, mapping.AskAnnounce} {
		for _, a := range e.Asks(on, thing) {
			if !fam.sends(a.Topic) {
				t.Fatalf("%s is asked on %q", thing, a.Topic)
			}
		}
	}
}

func (fam *family) fuzz(f *testing.F) {
	fam.seed(f)
	p := fam.profiles(f)
	f.Fuzz(func(t *testing.T, first, second []byte) { fam.try(t, p, first, second) })
}

func FuzzTasmotaAnnouncements(f *testing.F) {
	const mac = "tasmota/discovery/A0B1C2D3E4F5/"
	(&family{preset: "tasmota", topics: []string{mac + "config", mac + "sensors", mac + "sensors", mac + "config"},
		values: []string{"tele/oven_plug/STATE", "tele/oven_plug/SENSOR", "tele/oven_plug/LWT", "stat/oven_plug/RESULT", "stat/oven_plug/POWER"},
		sends: func(topic string) bool {
			for _, filter := range []string{"cmnd/#", "stat/#", "tele/#", "+/cmnd/#", "+/stat/#", "+/tele/#", "+/+/cmnd/#", "+/+/stat/#", "+/+/tele/#", "+/+/+/cmnd/#", "+/+/+/stat/#", "+/+/+/tele/#"} {
				if mapping.Covers(filter, topic) {
					return true
				}
			}
			return false
		}}).fuzz(f)
}

func FuzzShellyAnnouncements(f *testing.F) {
	const id = "shellypro2pm-a8032ab1c2d3"
	const reply = "thingbridge/reply/shelly/" + id + "/rpc"
	(&family{preset: "shelly", topics: []string{id + "/online", reply, id + "/events/rpc", id + "/events/rpc", reply, id + "/online"},
		values: []string{id + "/events/rpc", id + "/status/switch:0"},
		sends:  func(topic string) bool { return topic == id+"/rpc" }}).fuzz(f)
}

func FuzzShellyGen1Announcements(f *testing.F) {
	const id = "shellies/shelly1pm-AABBCC/"
	(&family{preset: "shelly-gen1", topics: []string{"shellies/announce", "shellies/announce"},
		values: []string{id + "relay/0", id + "relay/0/power", id + "light/0/status", id + "input_event/0", id + "sensor/state", id + "online"},
		sends: func(topic string) bool {
			return strings.HasPrefix(topic, "shellies/") && !strings.Contains(topic, "//")
		}}).fuzz(f)
}

func FuzzThinEdgeAnnouncements(f *testing.F) {
	const child, service = "te/device/x//", "te/device/x/service/s"
	(&family{preset: "thin-edge", topics: []string{child, service, child + "/cmd/go", service + "/cmd/log_upload", child + "/cmd/log_upload", child},
		values: []string{child + "/m/", child + "/m/a_b", service + "/m/a", child + "/a/hot", child + "/e/Alarm", child + "/twin/name",
			service + "/status/health", "te/device/x/service/tedge-agent/status/health", child + "/cmd/go/1-thingbridge"},
		sends: func(topic string) bool {
			return strings.HasPrefix(topic, child+"/cmd/") || strings.HasPrefix(topic, service+"/cmd/")
		}}).fuzz(f)
}

// FuzzHomeAssistantAnnouncements feeds both forms, of the decoders that both
// presets have.
func FuzzHomeAssistantAnnouncements(f *testing.F) {
	for _, preset := range []string{"homeassistant", "esphome"} {
		(&family{preset: preset}).seed(f)
	}
	sends := func(topic string) bool {
		return !strings.HasPrefix(topic, "thingbridge/") && !strings.HasPrefix(topic, "$") && topic != "homeassistant/status" &&
			(!strings.HasPrefix(topic, "homeassistant/") || !strings.HasSuffix(topic, "/config"))
	}
	topics := []string{"homeassistant/device/x/config", "homeassistant/sensor/n/x/config", "homeassistant/light/x/config",
		"homeassistant/device/x/config", "esphome/discover/n"}
	one := &family{preset: "homeassistant", topics: topics, values: []string{"x/s", "kitchen/light/lamp/state"}, sends: sends}
	two := &family{preset: "esphome", topics: topics, values: one.values, sends: sends}
	p, q := one.profiles(f), two.profiles(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		one.try(t, p, first, second)
		two.try(t, q, first, second)
	})
}
