package presets_test

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// FuzzAnnouncements hands any two messages, beginning with those of the cases,
// to each preset. What they announce is accepted, stays within the limits, can be
// kept and restored, and listens to nothing of its own once it is gone.
func FuzzAnnouncements(f *testing.F) {
	var engines []*mapping.Profiles
	for _, name := range presets.Names() {
		var list yaml.Node
		if err := yaml.Unmarshal([]byte("[{preset: "+name+"}]"), &list); err != nil {
			f.Fatal(err)
		}
		p, problems := mapping.Load(&list, "fuzz.yaml", presets.Open)
		if p == nil {
			f.Fatal(problems)
		}
		engines = append(engines, p)
	}
	addCases(f)
	const definitions, values = 100, 200
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	f.Fuzz(func(t *testing.T, which uint8, topic1, payload1, topic2, payload2 string) {
		if len(payload1)+len(payload2) > 64<<10 {
			return
		}
		e := mapping.NewEngine(engines[int(which)%len(engines)], mapping.Options{Limits: mapping.Limits{
			PayloadBytes: 32 << 10, ValuesPerMessage: values, DefinitionsPerThing: definitions}})
		for _, m := range [][2]string{{topic1, payload1}, {topic2, payload2}, {topic1, payload1}} {
			effects := e.Handle(&mapping.Input{Topic: m[0], Payload: []byte(m[1]), Now: now, Retained: which > 127}, nil)
			for i := 0; i < len(effects); i++ {
				switch eff := effects[i].(type) {
				case *mapping.Gathering:
					effects = append(effects, e.Gathered(eff.Thing, now)...)
				case *mapping.Announced:
					d := eff.Device.Definitions
					if n := len(d.Properties) + len(d.Services) + len(d.Events); n > definitions {
						t.Fatalf("%d definitions", n)
					}
					change, err := e.Put(eff.Device)
					for _, filter := range change.Subscribe {
						if err == nil && !mapping.ValidFilter(filter) {
							t.Fatalf("filter %q", filter)
						}
					}
				case *mapping.Values:
					if len(eff.Values) > values {
						t.Fatalf("%d values", len(eff.Values))
					}
				}
			}
		}
		for _, d := range e.Devices() {
			if err := mapping.CheckThingName(d.Thing); err != nil {
				t.Fatal(err)
			}
			data, err := e.Save(d.Thing)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Restore(data); err != nil {
				t.Fatalf("restore %s: %v", data, err)
			}
			e.Remove(d.Thing)
		}
		if left := e.DynamicFilters(); len(left) != 0 {
			t.Fatalf("filters are left: %v", left)
		}
	})
}

// addCases makes seeds of the messages of the cases, each with the one after it.
func addCases(f *testing.F) {
	type seed struct {
		which                             int
		topic, payload, next, nextPayload string
	}
	var all []seed
	for i, name := range presets.Names() {
		files, err := filepath.Glob("testdata/" + name + "/*.txtar")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				f.Fatal(err)
			}
			topic, payload := "", ""
			for _, section := range archive.Files {
				rest, ok := strings.CutPrefix(section.Name, "message ")
				if !ok {
					continue
				}
				next := strings.TrimSuffix(rest, " retained")
				all = append(all, seed{i, topic, payload, next, string(section.Data)})
				topic, payload = next, string(section.Data)
			}
		}
		f.Add(uint8(i), "things/p/announce", `{"properties": {"a": "NUMBER"}}`, "things/p/properties", `{"a": 1}`)
	}
	for i, s := range all {
		if seeded(i, len(all)) {
			f.Add(uint8(s.which), s.topic, s.payload, s.next, s.nextPayload)
		}
	}
}

// seeded reports whether the i-th of n seeds is added: each in a test, some forty
// while a target is fuzzed, where their coverage is gathered before anything else and
// hundreds take longer than the whole of a short run.
func seeded(i, n int) bool {
	return flag.Lookup("test.fuzz").Value.String() == "" || i%(1+n/40) == 0
}
