package bridge

import (
	"fmt"
	"strings"

	"thingbridge/mapping"
)

// reserved are platform names that are no device's: somebody else in this
// process has a Thing of that name bound. Bridge.mu guards it.
type reserved map[string]reservation // by folded name

type reservation struct{ name, holder string }

// Reserve keeps a platform name, "*" and an identifier or a Thing's name, from
// devices: it is held for somebody else in this process, whom holder names
// for people, until Release. It refuses what a device has, what is reserved already,
// both without case as the platform compares names, what allow.things and
// deny.things do not let through, and what the platform does not accept as a name. The error says so.
func (b *Bridge) Reserve(name, holder string) error {
	b.life.Lock()
	defer b.unlockLife()
	plain := strings.TrimPrefix(name, "*")
	if made, err := mapping.ThingName(plain); plain == name && (err != nil || made != name) {
		return fmt.Errorf("%q is not a name that ThingWorx accepts", name)
	}
	if !b.inForce().things.permits(plain) {
		return fmt.Errorf("thing %q is not allowed by allow.things and deny.things", name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.reserved[foldName(name)]; ok {
		return fmt.Errorf("platform name %q is taken by %s", name, r.holder)
	}
	t := b.byBind[foldName(name)]
	if t == nil {
		t = b.things[name]
	}
	if t != nil {
		return fmt.Errorf("platform name %q is taken by the device of thing %q (%s)", name, t.name, mapping.TopicsText(t.device.Sources, " "))
	}
	b.reserved[foldName(name)] = reservation{name, holder}
	return nil
}

// Release gives a reserved name free; a device that was refused for it gets it.
func (b *Bridge) Release(name string) {
	b.life.Lock()
	defer b.unlockLife()
	b.mu.Lock()
	r, ok := b.reserved[foldName(name)]
	if ok = ok && r.name == name; ok {
		delete(b.reserved, foldName(name))
	}
	b.mu.Unlock()
	if ok {
		b.heirs(name, name)
	}
}
