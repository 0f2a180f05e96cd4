package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// savedVersion is the version of Save's form. Older versions stay readable.
const savedVersion = 1

type savedDevice struct {
	Version int         `json:"version"`
	Profile string      `json:"profile"`
	Thing   string      `json:"thing"`
	Raw     string      `json:"raw,omitempty"`
	Parts   []savedPart `json:"parts"`
	Since   int64       `json:"since,omitempty"` // see SavedSince

	// Inferred are the types of the properties that nothing declares, by name.
	Inferred map[string]string `json:"inferred,omitempty"`
	// Origins tell what made their names, and those of others that are computed.
	Origins map[string]string `json:"origins,omitempty"`
}

type savedPart struct {
	Source   string `json:"source"`
	Rule     int    `json:"rule"` // among the profile's announce rules
	Retained bool   `json:"retained,omitempty"`
	Payload  []byte `json:"payload"`
}

// Save gives a known device's announcements and inferred types in a form that Restore reads:
// versioned JSON. Definitions are not saved; they are made anew by the profiles
// that stand when it is restored.
func (e *Engine) Save(thing string) ([]byte, error) {
	st := e.state(thing)
	if st == nil {
		return nil, fmt.Errorf("save %q: no such device", thing)
	}
	d := savedDevice{Version: savedVersion, Profile: st.dev.Profile, Thing: st.dev.Thing, Since: st.dev.since}
	if st.dev.raw != st.dev.Thing {
		d.Raw = st.dev.raw
	}
	for _, p := range st.dev.Parts {
		d.Parts = append(d.Parts, savedPart{Source: p.Source, Rule: st.prof.announceNumber(p.rule), Retained: p.Retained, Payload: p.Payload})
	}
	d.Inferred, d.Origins = st.savedTypes(), st.savedOrigins()
	return json.Marshal(d)
}

// SavedSince gives Device.Since of what Save gave.
func SavedSince(data []byte) int64 {
	var d struct {
		Since int64 `json:"since"`
	}
	_ = json.Unmarshal(data, &d) // Restore says what is wrong with it
	return d.Since
}

func (st *deviceState) savedTypes() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.inferred) == 0 {
		return nil
	}
	types := make(map[string]string, len(st.inferred))
	for name, t := range st.inferred {
		types[name] = t.String()
	}
	return types
}

// restoredTypes leaves out what the definitions declare by now, and what is no type.
func restoredTypes(d *Device, saved map[string]string, limit int) map[string]alwayson.BaseType {
	types := make(map[string]alwayson.BaseType, len(saved))
	for _, name := range sortedKeys(saved) {
		t, ok := alwayson.ParseBaseType(saved[name])
		if ok && d.Definitions.Properties[name] == nil && len(types)+d.Definitions.count() < limit {
			types[name] = t
		}
	}
	return types
}

func (p *profile) announceNumber(r *rule) int {
	for i, a := range p.announces {
		if a == r {
			return i
		}
	}
	return -1
}

// Restore makes a device of what Save gave, by the present profiles. It does
// not Put it. An error says that the data is not readable, of a newer version,
// or of a profile or announcement that is no more.
func (e *Engine) Restore(data []byte) (*Device, error) {
	var saved savedDevice
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("restore a device: %w", err)
	}
	if saved.Version < 1 || saved.Version > savedVersion {
		return nil, fmt.Errorf("restore thing %q: version %d of the saved form; versions up to %d are known", saved.Thing, saved.Version, savedVersion)
	}
	prof := e.profileOf(saved.Profile)
	if prof == nil {
		return nil, fmt.Errorf("restore thing %q: there is no profile %q", saved.Thing, saved.Profile)
	}
	if err := CheckThingName(saved.Thing); err != nil {
		return nil, fmt.Errorf("restore a device: %w", err)
	}
	if saved.Raw == "" {
		saved.Raw = saved.Thing
	}
	var parts []Part
	for _, p := range saved.Parts {
		r := e.announceRule(prof, p)
		if r == nil {
			return nil, fmt.Errorf("restore thing %q: the profile %q announces nothing on %s", saved.Thing, saved.Profile, p.Source)
		}
		parts = append(parts, Part{Source: p.Source, Payload: p.Payload, Retained: p.Retained, rule: r})
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("restore thing %q: %w", saved.Thing, errors.New("it has no announcements"))
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	b := builder{e: e, prof: prof, now: time.Now()}
	d, err := b.build(saved.Thing, saved.Raw, sortParts(parts))
	if err != nil {
		return nil, fmt.Errorf("restore thing %q: %w", saved.Thing, err)
	}
	d.since, d.origins = saved.Since, saved.Origins
	if len(saved.Inferred) > 0 {
		d.inferred = restoredTypes(d, saved.Inferred, e.opt.Limits.DefinitionsPerThing)
	}
	return d, nil
}

// announceRule finds the rule of a saved part: the one with its number if that
// still hears the topic, else the first that does.
func (e *Engine) announceRule(p *profile, saved savedPart) *rule {
	if saved.Rule >= 0 && saved.Rule < len(p.announces) && e.pattern(p.announces[saved.Rule]).hears(saved.Source) {
		return p.announces[saved.Rule]
	}
	for _, r := range p.announces {
		if e.pattern(r).hears(saved.Source) {
			return r
		}
	}
	return nil
}

func (p *pattern) hears(topic string) bool {
	if !ValidTopic(topic) || !Covers(p.filter, topic) {
		return false
	}
	_, ok := p.capture(topic, nil)
	return ok
}
