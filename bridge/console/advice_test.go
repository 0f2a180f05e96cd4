package console

import (
	"slices"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/config"
)

func TestAdviceSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	now := time.Now()
	up := LinkFacts{Up: true, Since: now.Add(-time.Hour)}
	cases := []struct {
		name   string
		change func(*Facts)
		level  string
		text   []string // in title, remedy or details
	}{
		{"the platform is away", func(f *Facts) {
			f.Platform = LinkFacts{Since: now.Add(-time.Minute), Reason: "invalid application key"}
		}, LevelError,
			[]string{"The platform is not reached", "platform.url", "invalid application key"}},
		{"the broker is away", func(f *Facts) { f.Broker = LinkFacts{Since: now.Add(-time.Minute), Reason: "refused"} }, LevelError, []string{"mqtt.client_id"}},
		{"a filter is refused", func(f *Facts) { f.RefusedFilters = map[string]string{"a/#": "not allowed"} }, LevelError, []string{"a/#: not allowed", "access rules"}},
		{"the disk does not write", func(f *Facts) { f.OutboxError = "no space left" }, LevelError, []string{"no space left", "data_dir"}},
		{"the outbox is nearly full", func(f *Facts) { f.OutboxBytes, f.OutboxMax = 90, 100 }, LevelError, []string{"90 %", "outbox.max_bytes"}},
		{"values were dropped", func(f *Facts) { f.OutboxDropped = map[string]uint64{"age": 7, "full": 0} }, LevelError, []string{"7 records: age", "outbox.max_age"}},
		{"a bind is refused", func(f *Facts) {
			f.Findings.Refused = []bridge.FindingGroup{{Text: "no permission", Count: 2, Things: []string{"a", "b"}}}
		}, LevelError, []string{"refuses to bind 2 Things", "no permission", "RemoteThing"}},
		{"a Thing is absent", func(f *Facts) { f.Findings.Absent = bridge.FindingGroup{Count: 1, Things: []string{"a"}} }, LevelError, []string{"1 Thing", "provision.enabled"}},
		{"bindings are missing", func(f *Facts) {
			f.Findings.Missing = bridge.FindingMissing{Count: 1, Things: []bridge.MissingBinding{{Thing: "a", Properties: []string{"p", "q"}, More: 3, Values: 9}}}
		}, LevelWarn, []string{"a: p, q and 3 more (9 values)", "Manage Bindings"}},
		{"names clash", func(f *Facts) { f.Bridge.Clashes = map[string]string{"a": "taken by b"} }, LevelError, []string{"a: taken by b"}},
		{"a device is not announced", func(f *Facts) { f.Bridge.Unannounced = []bridge.Unannounced{{Thing: "x", Messages: 3}} }, LevelWarn, []string{"x: 3 waiting", "things/NAME/announce"}},
		{"many devices are not announced", func(f *Facts) {
			f.Bridge.Unannounced, f.Bridge.Strangers = make([]bridge.Unannounced, 20), 300
		}, LevelWarn, []string{"and 290 more"}},
		{"a payload does not fit", func(f *Facts) {
			f.Rejections = []bridge.Rejection{{Rule: "p/properties/1", Reason: "type", Count: 1, Topic: "t/1", Detail: "temp: a NUMBER is wanted"}}
		}, LevelWarn, []string{"p/properties/1 (type), once", "temp: a NUMBER is wanted", "on t/1", "thingbridge explain"}},
		{"a payload is too large", func(f *Facts) {
			f.Rejections = []bridge.Rejection{{Rule: "-", Reason: "too_large", Count: 2, Topic: "t/1", Detail: "a payload of 5 bytes"}}
		}, LevelWarn, []string{"Refused (too_large), 2 times.\nRaise the limit in question (section limits), or have the device send less.\n"}},
		{"nothing outlives the bridge", func(f *Facts) { f.Config.DataDir = "" }, LevelWarn, []string{"data_dir is not set"}},
		{"the outbox is in memory", func(f *Facts) { f.Config.Outbox.Mode = config.OutboxMemory }, LevelWarn, []string{"outbox.mode is memory"}},
		{"all is well", func(*Facts) {}, "", nil},
		{"a connection is made again at once", func(f *Facts) { f.Platform = LinkFacts{Since: now.Add(-time.Second)} }, "", nil},
		{"a null is everyday life", func(f *Facts) { f.Rejections = []bridge.Rejection{{Rule: "p", Reason: "null", Count: 5}} }, "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conf := config.Default()
			conf.DataDir = "/var/lib/thingbridge"
			f := Facts{Now: now, Config: &conf, Broker: up, Platform: up}
			c.change(&f)
			list := advise(f)
			if c.level == "" {
				if len(list) > 0 {
					t.Fatalf("%+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].Level != c.level || list[0].Remedy == "" {
				t.Fatalf("%+v", list)
			}
			all := list[0].Title + "\n" + list[0].Remedy + "\n" + strings.Join(list[0].Details, "\n")
			for _, want := range c.text {
				if !strings.Contains(all, want) {
					t.Errorf("no %q in\n%s", want, all)
				}
			}
		})
	}
}

func TestTheWorstAdviceComesFirstAndItIsBounded(t *testing.T) {
	f := Facts{Now: time.Now(), Broker: LinkFacts{Up: true}, Platform: LinkFacts{Up: true}, OutboxError: "full"}
	f.Bridge.Clashes = map[string]string{}
	for i := range 1000 {
		f.Rejections = append(f.Rejections, bridge.Rejection{Rule: "r", Reason: "type", Detail: strings.Repeat("x", 300)})
		f.Bridge.Clashes[strings.Repeat("n", i+1)] = "clash"
	}
	list := advise(f)
	if len(list) > 30 || !slices.IsSortedFunc(list, func(a, b Advice) int { return severity(a.Level) - severity(b.Level) }) || list[0].Level != LevelError {
		t.Errorf("%d, the first %+v", len(list), list[0])
	}
	for _, a := range list {
		if len(a.Details) > adviceDetails+1 {
			t.Errorf("%s has %d details", a.Kind, len(a.Details))
		}
	}
}
