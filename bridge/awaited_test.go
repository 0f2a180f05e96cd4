package bridge_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge/store"
)

const ovenParts = `
- name: oven
  thing: ${id}
  announce: {topic: "found/{id}/{part}", merge: true, define: '{"properties": fromPairs([[part, {"type": "NUMBER"}]])}'}
  properties: {topic: "ovens/{id}/{property}", value: payload}
`

// asked is as a Shelly is: what it retains shows that it is there, what it has it
// tells when it is asked.
const askedParts = `
- name: asked
  thing: ${id}
  announce:
    - {topic: "asked/{id}/online", when: payload == true, define: '{"properties": {"here": {"type": "BOOLEAN"}}}'}
    - {topic: "asked/{id}/told", creates: false, define: '{"properties": {"told": {"type": "NUMBER"}}}'}
  presence: {topic: "asked/{id}/online", online: payload == true, offline: payload == false}
`

// declared tells which properties a Thing declares.
func (r *rig) declared(thing string) string {
	d, ok := r.b.Thing(thing)
	if !ok {
		return "forgotten"
	}
	return strings.Join(slices.Sorted(maps.Keys(d.Definitions.Properties)), " ")
}

// partsCase is a device that several messages announce, and what the broker still
// has of them after a time in which nobody listened.
type partsCase struct {
	name           string
	profile        string
	retained, live []string // what announces it, before
	there          []string // what comes afterwards
	retainsUnasked bool     // the broker sends what it retains to filters with wildcards
	sessionLost    bool
	before, after  string
}

var partsCases = []partsCase{
	{name: "a part was cleared", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door", "found/one/fan"},
		there: []string{"found/one/heat", "found/one/fan"}, retainsUnasked: true, before: "door fan heat", after: "fan heat"},
	{name: "no part was cleared", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		there: []string{"found/one/heat", "found/one/door"}, retainsUnasked: true, before: "door heat", after: "door heat"},
	{name: "all parts were cleared", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		retainsUnasked: true, before: "door heat", after: "forgotten"},
	{name: "a part was never retained", profile: ovenParts, retained: []string{"found/one/heat"}, live: []string{"found/one/door"},
		there: []string{"found/one/heat"}, retainsUnasked: true, before: "door heat", after: "door heat"},
	{name: "only what was never retained is left", profile: ovenParts, retained: []string{"found/one/heat"}, live: []string{"found/one/door"},
		retainsUnasked: true, before: "door heat", after: "door"},
	{name: "what was never retained only tells more of a device", profile: askedParts, retained: []string{"asked/one/online"}, live: []string{"asked/one/told"},
		retainsUnasked: true, before: "here told", after: "forgotten"},
	{name: "what was never retained only tells more of a device that is there", profile: askedParts, retained: []string{"asked/one/online"}, live: []string{"asked/one/told"},
		there: []string{"asked/one/online"}, retainsUnasked: true, before: "here told", after: "here told"},
	{name: "the broker forgot such a device", profile: askedParts, retained: []string{"asked/one/online"}, live: []string{"asked/one/told"},
		retainsUnasked: true, sessionLost: true, before: "here told", after: "here told"},
	{name: "no part was ever retained", profile: ovenParts, live: []string{"found/one/heat", "found/one/door"},
		retainsUnasked: true, before: "door heat", after: "door heat"},
	{name: "the broker sends to wildcards nothing that it retains", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door", "found/one/fan"},
		there: []string{"found/one/heat", "found/one/fan"}, before: "door fan heat", after: "fan heat"},
	{name: "the parts are gathered", profile: parted, retained: []string{"d/one/$name", "d/one/v/$type", "d/one/w/$type"},
		there: []string{"d/one/$name", "d/one/w/$type"}, retainsUnasked: true, before: "v w", after: "w"},
	{name: "the session was lost, but not what is retained", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		there: []string{"found/one/heat"}, retainsUnasked: true, sessionLost: true, before: "door heat", after: "heat"},
	{name: "the broker forgot all it had", profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		retainsUnasked: true, sessionLost: true, before: "door heat", after: "door heat"},
	{name: "the broker forgot all it had, of a device that announced a part live", profile: ovenParts, retained: []string{"found/one/heat"}, live: []string{"found/one/door"},
		retainsUnasked: true, sessionLost: true, before: "door heat", after: "door heat"},
}

func TestPartsOfAnAnnouncementLeaveThatWereClearedWhileNobodyListened(t *testing.T) {
	for _, c := range partsCases {
		t.Run(c.name+", the bridge restarts", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := keepIn(store.NewMemory())
				r := c.begin(t, kept)
				r.stop()
				r = newRig(t, things("one"), profile(t, c.profile), kept)
				defer r.stop()
				r.platform.connect()
				c.connect(r, 1)
				r.mustDeclare("one", c.after)
			})
		})
		t.Run(c.name+", the broker was away", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := c.begin(t, keepIn(store.NewMemory()))
				defer r.stop()
				for session := uint64(2); session < 4; session++ {
					r.bus.jobs.add(func() { r.b.BusDown(session-1, nil) })
					synctest.Wait()
					c.connect(r, session)
					r.mustDeclare("one", c.after)
				}
			})
		})
	}
}

// begin runs a bridge that knows the device.
func (c *partsCase) begin(t *testing.T, kept setup) *rig {
	t.Helper()
	r := newRig(t, things("one"), profile(t, c.profile), kept)
	r.platform.connect()
	r.bus.jobs.add(func() { r.b.BusUp(1) })
	for _, topic := range c.retained {
		r.retained(topic, partPayload(topic))
	}
	for _, topic := range c.live {
		r.live(topic, partPayload(topic))
	}
	time.Sleep(10 * time.Second)
	r.mustDeclare("one", c.before)
	return r
}

// connect gives the bridge a connection on which the broker tells what is still there.
func (c *partsCase) connect(r *rig, session uint64) {
	r.bus.mu.Lock()
	r.bus.forgetful = c.sessionLost
	r.bus.retains = map[string]string{}
	for _, topic := range c.there {
		r.bus.retains[topic] = partPayload(topic)
	}
	r.bus.mu.Unlock()
	r.bus.jobs.add(func() { r.b.BusUp(session) })
	if c.retainsUnasked {
		r.retained("things/other/announce", "{}")
		for _, topic := range c.there {
			r.retained(topic, partPayload(topic))
		}
	}
	time.Sleep(20 * time.Second)
}

func partPayload(topic string) string {
	switch {
	case strings.HasPrefix(topic, "d/"):
		return "NUMBER"
	case strings.HasSuffix(topic, "/online"):
		return "true"
	}
	return "{}"
}

func (r *rig) mustDeclare(thing, want string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.declared(thing); got != want {
		r.t.Fatalf("%s declares %q, want %q", thing, got, want)
	}
}

// A payload that is too large to be read is there all the same.
func TestAPartThatIsTooLargeNowIsNoPartThatLeft(t *testing.T) {
	c := partsCase{profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		there: []string{"found/one/heat"}, retainsUnasked: true, before: "door heat"}
	synctest.Test(t, func(t *testing.T) {
		r := c.begin(t, keepIn(store.NewMemory()))
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.bus.jobs.add(func() { r.b.TooLarge("found/one/door", 1<<30) })
		synctest.Wait()
		c.connect(r, 2)
		r.mustDeclare("one", "door heat")
	})
}

// What is retained may be announced anew beyond the rate, while another part of it is gone.
func TestAPartLeavesThoughTheDevicesNewAnnouncementWaits(t *testing.T) {
	c := partsCase{profile: ovenParts, retained: []string{"found/one/heat", "found/one/door"},
		retainsUnasked: true, before: "door heat"}
	synctest.Test(t, func(t *testing.T) {
		r := c.begin(t, onePerSecond)
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		for _, other := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			r.retained("found/"+other+"/x", "{}")
		}
		r.retained("found/one/fan", "{}")
		c.there = []string{"found/one/heat"}
		c.connect(r, 2)
		r.mustDeclare("one", "fan heat")
	})
}
