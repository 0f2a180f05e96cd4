package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

func TestThingsAreSearchedFilteredSortedAndPaged(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for i := range 1200 { // more than one hold of the locks
			r.message(fmt.Sprintf("things/Pump-%04d/announce", i), "{}", true)
		}
		r.message("things/fan/announce", "{}", true)
		r.message("things/fan/status", "offline", true)
		synctest.Wait()
		time.Sleep(time.Second)
		r.live("things/Pump-0007/properties/a", "1")
		r.live("things/Pump-0007/properties/b", "1")
		r.live("things/Pump-0007/properties", "{")
		others := []bridge.ThingSummary{{Name: "agent", Profile: "edge-thing", State: bridge.StateBound, Problems: 1}}
		for name, c := range map[string]struct {
			q     bridge.Selection
			total int
			names string
		}{
			"all, the first":                {bridge.Selection{Limit: 2}, 1201, "Pump-0000 Pump-0001"},
			"a part in the middle":          {bridge.Selection{Offset: 1199, Limit: 5}, 1201, "Pump-1199 fan"},
			"beyond the end":                {bridge.Selection{Offset: 5000, Limit: 5}, 1201, ""},
			"a part of a name, in any case": {bridge.Selection{Text: "P-119", Limit: 3}, 10, "Pump-1190 Pump-1191 Pump-1192"},
			"the begin of a name":           {bridge.Selection{Prefix: "FA"}, 1, "fan"},
			"by state":                      {bridge.Selection{State: bridge.StateOffline}, 1, "fan"},
			"those with problems":           {bridge.Selection{State: bridge.StateTrouble}, 1, "Pump-0007"},
			"the most values first":         {bridge.Selection{Order: bridge.ByValues, Reverse: true, Limit: 1}, 1201, "Pump-0007"},
			"the latest seen first":         {bridge.Selection{Order: bridge.ByLastSeen, Reverse: true, Limit: 1}, 1201, "Pump-0007"},
			"the last name first":           {bridge.Selection{Reverse: true, Limit: 2}, 1201, "fan Pump-1199"},
			"another profile":               {bridge.Selection{Profile: "x"}, 0, ""},
			"others among them":             {bridge.Selection{Others: others, Reverse: true, Limit: 3}, 1202, "fan agent Pump-1199"},
			"others with problems":          {bridge.Selection{Others: others, State: bridge.StateTrouble}, 2, "Pump-0007 agent"},
		} {
			got := r.b.Select(c.q)
			var names []string
			for _, s := range got.Things {
				names = append(names, s.Name)
			}
			if got.Total != c.total || strings.Join(names, " ") != c.names {
				t.Errorf("%s: %d, %v", name, got.Total, names)
			}
		}
		if s := r.b.Select(bridge.Selection{State: bridge.StateOffline}).States; s[bridge.StateOffline] != 1 || s[bridge.StateTrouble] != 1 || len(s) != 3 {
			t.Errorf("states that match: %v", s)
		}
	})
}

func TestFindingsGroupWhatIsWrong(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"bare": nil}, func(r *rig) {
		for i := range 30 {
			name := fmt.Sprintf("no-%02d", i)
			r.platform.mu.Lock()
			r.platform.refuse[name] = "no permission"
			r.platform.mu.Unlock()
			r.message("things/"+name+"/announce", "{}", true)
		}
		r.retained("things/bare/announce", `{"properties": {"a": "NUMBER", "b": "NUMBER"}}`)
		r.live("things/bare/properties", `{"b": 1, "a": 2}`)
		r.live("things/bare/properties", `{"a": 3}`)
		f := r.b.Findings()
		if len(f.Refused) != 1 || f.Refused[0].Text != "no permission" || f.Refused[0].Count != 30 || len(f.Refused[0].Things) != 20 || !slices.IsSorted(f.Refused[0].Things) {
			t.Errorf("refused: %+v", f.Refused)
		}
		for i := range 30 {
			name := fmt.Sprintf("no-%02d", i)
			r.platform.mu.Lock()
			r.platform.refuse[name] = fmt.Sprintf("0x83: %q is bound by another connection", name)
			r.platform.mu.Unlock()
		}
		r.platform.down()
		r.platform.connect()
		synctest.Wait()
		if f := r.b.Findings(); len(f.Refused) != 1 || f.Refused[0].Text != `0x83: "…" is bound by another connection` || f.Refused[0].Count != 30 {
			t.Errorf("refused alike, each by its name: %+v", f.Refused)
		}
		if m := f.Missing; m.Count != 1 || m.Things[0].Thing != "bare" || strings.Join(m.Things[0].Properties, " ") != "a b" || m.Things[0].Values != 3 {
			t.Errorf("missing: %+v", m)
		}
	})
}

func TestWhatHappenedIsRememberedAndBounded(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.retained("things/a/announce", "{}")
		r.retained("things/b/announce", "{}")
		for i := range 2000 {
			r.message("things/a/events/Tick", fmt.Sprintf(`{"n": %d}`, i), false)
		}
		r.live("things/b/events/Big", `{"x": "`+strings.Repeat("x", 5000)+`"}`)
		if all := r.b.Events("", 5000); len(all) != 1024 || all[0].Name != "Big" || !all[0].TooLarge || all[0].Data != nil {
			t.Errorf("%d events, the newest %+v", len(all), all[0])
		}
		if a := r.b.Events("a", 2); len(a) != 2 || fmt.Sprint(a[0].Data) != "map[n:1999]" {
			t.Errorf("of a: %+v", a)
		}
		for i := range 3 {
			time.Sleep(time.Second)
			r.live("things/a/properties", strings.Repeat("{", i+1))
		}
		list := r.b.Rejections()
		if len(list) != 1 || list[0].Rule != "native/properties/1" || list[0].Reason != "malformed" || list[0].Count != 3 || list[0].Topic != "things/a/properties" || list[0].Detail == "" || !list[0].First.Before(list[0].Last) {
			t.Errorf("rejections: %+v", list)
		}
		for range 100 {
			r.platform.down()
			r.platform.connect()
		}
		synctest.Wait()
		if c := r.b.LinkChanges(bridge.LinkPlatform); len(c) != 64 || !c[63].Up || c[62].Up || c[62].Reason == "" {
			t.Errorf("%d changes, the last %+v", len(c), c[len(c)-2:])
		}
		if n := r.b.Counters(); n.Messages < 2000 || n.Rejected != 3 {
			t.Errorf("counters: %+v", n)
		}
	})
}
