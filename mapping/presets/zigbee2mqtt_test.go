package presets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

func zigbeeEngine(t testing.TB) *mapping.Engine {
	t.Helper()
	return mapping.NewEngine(zigbeeProfiles(t), mapping.Options{})
}

func zigbeeProfiles(t testing.TB) *mapping.Profiles {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: zigbee2mqtt}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// take hands a message to the Engine and does with its effects what a bridge does.
func take(t testing.TB, e *mapping.Engine, topic string, payload []byte) (things []string) {
	t.Helper()
	in := &mapping.Input{Topic: topic, Payload: payload, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	effects := e.Handle(in, nil)
	for i := 0; i < len(effects); i++ {
		switch eff := effects[i].(type) {
		case *mapping.Gathering:
			effects = append(effects, e.Gathered(eff.Thing, in.Now)...)
		case *mapping.Announced:
			if err := mapping.CheckThingName(eff.Device.Thing); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Put(eff.Device); err == nil {
				things = append(things, eff.Device.Thing)
			}
		case *mapping.Left:
			e.Remove(eff.Thing)
		}
	}
	return things
}

// seeds gives the messages of the preset's cases whose topic ends so.
func seeds(f *testing.F, suffix string) (payloads [][]byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/zigbee2mqtt/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("there are no cases", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range txtar.Parse(text).Files {
			if strings.HasPrefix(section.Name, "message ") && strings.HasSuffix(strings.TrimSuffix(section.Name, " retained"), suffix) {
				payloads = append(payloads, section.Data)
			}
		}
	}
	return payloads
}

// FuzzZigbee2MQTTList feeds lists of devices: none may stop the engine, what is
// announced can be saved and restored, and what goes to its device stays under
// the base topic.
func FuzzZigbee2MQTTList(f *testing.F) {
	for _, payload := range seeds(f, "/bridge/devices") {
		f.Add(payload, []byte(`{"state":"ON","tamper":1}`))
	}
	const lamp = `{"ieee_address":"%d","friendly_name":"%s","interview_completed":true,"definition":{"exposes":[]}}`
	f.Add([]byte("["+fmt.Sprintf(lamp, 1, "bridge/devices")+","+fmt.Sprintf(lamp, 2, "b")+"]"), []byte("[]"))
	profiles := zigbeeProfiles(f)
	f.Fuzz(func(t *testing.T, list, state []byte) {
		if len(list)+len(state) > 64<<10 {
			return
		}
		e := mapping.NewEngine(profiles, mapping.Options{})
		for _, thing := range take(t, e, "zigbee2mqtt/bridge/devices", list) {
			if e.Device(thing) == nil {
				continue // the state of one before, on a topic of Zigbee2MQTT's own, took it away
			}
			saved, err := e.Save(thing)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Restore(saved); err != nil {
				t.Fatal(err)
			}
			d := e.Device(thing)
			if friendly, ok := d.Var("friendly").(string); ok && mapping.ValidTopic("zigbee2mqtt/"+friendly) {
				take(t, e, "zigbee2mqtt/"+friendly, state)
			}
			for name := range d.Definitions.Properties {
				for _, v := range []alwayson.Value{alwayson.NewBoolean(true), alwayson.NewNumber(1), alwayson.NewString("x")} {
					c, err := e.Write(thing, name, v)
					underBase(t, c, err)
				}
				c, err := e.Read(thing, name)
				underBase(t, c, err)
			}
			for name := range d.Definitions.Services {
				c, err := e.Call(thing, name, alwayson.OneRow(alwayson.Named{Name: "value", Value: alwayson.NewString("x")}))
				underBase(t, c, err)
			}
		}
		take(t, e, "zigbee2mqtt/bridge/devices", []byte("[]"))
	})
}

func underBase(t *testing.T, c *mapping.Call, err error) {
	t.Helper()
	if err != nil {
		return
	}
	for _, p := range c.Send {
		if !strings.HasPrefix(p.Topic, "zigbee2mqtt/") || !strings.HasSuffix(p.Topic, "/set") && !strings.HasSuffix(p.Topic, "/get") {
			t.Fatalf("it sends to %q", p.Topic)
		}
	}
}

func TestAListSentAnewBringsNobodyBack(t *testing.T) {
	e := zigbeeEngine(t)
	in := &mapping.Input{
		Topic: "zigbee2mqtt/bridge/devices", Now: time.Now(),
		Payload: []byte(`[{"ieee_address":"0x1","friendly_name":"a","type":"Router","interview_completed":true,"definition":{"exposes":[]}}]`),
	}
	effects := e.Handle(in, nil)
	if len(effects) != 1 {
		t.Fatal(effects)
	}
	if a, ok := effects[0].(*mapping.Announced); !ok || a.Live {
		t.Errorf("%+v: Zigbee2MQTT sends the whole list when one device changes", effects[0])
	}
}

// TestTheDocumentationNamesAllOfTheBridge keeps docs/families/zigbee2mqtt.md whole.
func TestTheDocumentationNamesAllOfTheBridge(t *testing.T) {
	text, err := os.ReadFile("../../docs/families/zigbee2mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	e := zigbeeEngine(t)
	if len(take(t, e, "zigbee2mqtt/bridge/state", []byte(`{"state":"online"}`))) != 1 {
		t.Fatal("the bridge is no Thing")
	}
	defs := e.Device("zigbee2mqtt").Definitions
	var names []string
	for name, service := range defs.Services {
		names = append(names, name)
		for _, in := range service.Inputs {
			names = append(names, in.Name)
		}
	}
	for name := range defs.Properties {
		names = append(names, name)
	}
	for name := range defs.Events {
		names = append(names, name)
	}
	if len(names) < 30 {
		t.Fatalf("only %q", names)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the documentation does not name %s", name)
		}
	}
}
