package bridge

import (
	"cmp"
	"slices"
	"strings"

	"thingbridge/edge/alwayson"
)

// Bounds of Findings.
const (
	findingThings  = 20 // Things that a finding names
	findingGroups  = 20 // texts of the platform that are told apart
	findingMembers = 20 // properties that one Thing's finding names
)

// Findings is what somebody should look after, over all Things.
type Findings struct {
	Refused []FindingGroup // binds that the platform refuses, by its text, … for the Thing's own name
	Absent  FindingGroup   // bound Things that do not exist on the platform
	Missing FindingMissing // properties that came and have no remote binding
}

// FindingGroup is Things with the same trouble; Things names the first of them.
type FindingGroup struct {
	Text   string   `json:"text"`
	Count  int      `json:"count"`
	Things []string `json:"things"`
}

// FindingMissing is the Things with properties that have no remote binding on the platform.
type FindingMissing struct {
	Count  int              `json:"count"`
	Things []MissingBinding `json:"things"`
}

// MissingBinding is one Thing's properties without remote binding.
type MissingBinding struct {
	Thing      string   `json:"thing"`
	Properties []string `json:"properties"` // sorted, the first of them
	More       int      `json:"more,omitempty"`
	Values     uint64   `json:"values"` // that came and went nowhere
}

// Findings looks through all Things.
func (b *Bridge) Findings() Findings {
	var f Findings
	refused := map[string]*FindingGroup{}
	b.eachThing(func(t *thing) {
		switch {
		case t.leaving:
		case t.state == alwayson.Refused && b.reachableLocked(t):
			text := withoutName(t.reason, t.told)
			g := refused[text]
			if g == nil {
				g = refused["…"]
			}
			if g == nil {
				if len(refused) >= findingGroups {
					text = "…"
				}
				g = &FindingGroup{Text: text}
				refused[text] = g
			}
			g.add(t.name)
		case t.absent && t.state == alwayson.Bound:
			f.Absent.add(t.name)
		}
		if len(t.missing) > 0 {
			f.Missing.addLocked(t)
		}
	})
	for _, g := range refused {
		f.Refused = append(f.Refused, *g)
	}
	slices.SortFunc(f.Refused, func(a, b FindingGroup) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Text, b.Text))
	})
	return f
}

// withoutName puts … for a Thing's own name, so that Things refused alike are one group.
func withoutName(text, name string) string {
	for _, quotes := range []string{`""`, "[]", "''"} {
		text = strings.ReplaceAll(text, quotes[:1]+name+quotes[1:], quotes[:1]+"…"+quotes[1:])
	}
	return text
}

// add counts a Thing; the names kept are the smallest ones, sorted.
func (g *FindingGroup) add(name string) {
	g.Count++
	i, _ := slices.BinarySearch(g.Things, name)
	if i >= findingThings {
		return
	}
	g.Things = slices.Insert(g.Things, i, name)
	g.Things = g.Things[:min(len(g.Things), findingThings)]
}

func (f *FindingMissing) addLocked(t *thing) {
	f.Count++
	i, _ := slices.BinarySearchFunc(f.Things, t.name, func(m MissingBinding, name string) int { return strings.Compare(m.Thing, name) })
	if i >= findingThings {
		return
	}
	f.Things = slices.Insert(f.Things, i, missingLocked(t))
	f.Things = f.Things[:min(len(f.Things), findingThings)]
}

func missingLocked(t *thing) MissingBinding {
	m := MissingBinding{Thing: t.name}
	for name, n := range t.missing {
		m.Values += n
		m.Properties = append(m.Properties, name)
	}
	slices.Sort(m.Properties)
	if n := len(m.Properties); n > findingMembers {
		m.Properties, m.More = m.Properties[:findingMembers], n-findingMembers
	}
	return m
}
