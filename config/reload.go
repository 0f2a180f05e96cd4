package config

import (
	"reflect"
	"slices"
	"strings"
)

// Class says what a running bridge does when the value of a key changes.
type Class string

// Classes.
const (
	AtOnce       Class = "at once"  // nothing is interrupted
	PlatformAnew Class = "platform" // the connection to the platform is made anew, the broker's stays
	BrokerAnew   Class = "broker"   // the connection to the broker is made anew, the platform's stays
	Restart      Class = "restart"  // stands from the next start on
)

// ProfilesKey is the path of the profiles, which are no key of [Keys].
const ProfilesKey = "profiles"

// classes says what happens when a key changes; of several entries that lead to
// a key the longest counts. docs/configuration.md has the same table, and a test
// compares them.
var classes = []struct {
	prefix string
	class  Class
}{
	{"platform", PlatformAnew},
	{"platform.ping_interval", AtOnce},
	{"platform.request_timeout", AtOnce},
	{"mqtt", BrokerAnew},
	{"mqtt.connect_timeout", AtOnce},
	{"data_dir", Restart},
	{"outbox", AtOnce},
	{"outbox.mode", Restart},
	{"outbox.when_full", Restart},
	{"limits", AtOnce},
	{"allow", AtOnce},
	{"deny", AtOnce},
	{"provision", AtOnce},
	{"console", AtOnce},
	{"rest", AtOnce},
	{"rest.tls", Restart},
	{"rest.edge_things", Restart},
	{"log", AtOnce},
	{ProfilesKey, AtOnce},
}

// ClassOf gives the class of a key; Restart where nothing else is said.
func ClassOf(path string) Class {
	class, _ := classOf(path)
	return class
}

func classOf(path string) (class Class, said bool) {
	class, longest := Restart, -1
	for _, c := range classes {
		if len(c.prefix) > longest && (path == c.prefix || strings.HasPrefix(path, c.prefix+".")) {
			class, longest = c.class, len(c.prefix)
		}
	}
	return class, longest >= 0
}

// Changes lists the keys whose values differ between two configurations, in the
// order of [Keys], the profiles last. Of secrets and certificates the references
// are compared, not what they stand for: that is read at each use.
func Changes(a, b *Config) []string {
	var paths []string
	for _, k := range Keys() {
		if !equal(valueOf(a, k.Path), valueOf(b, k.Path)) {
			paths = append(paths, k.Path)
		}
	}
	if !a.Profiles.Equal(b.Profiles) {
		paths = append(paths, ProfilesKey)
	}
	return paths
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case Secret:
		return a.equal(b.(Secret))
	case Material:
		return a.source.equal(b.(Material).source)
	}
	return reflect.DeepEqual(a, b)
}

func (s Secret) equal(o Secret) bool {
	if s.parts == nil || o.parts == nil {
		return (s.parts == nil) == (o.parts == nil)
	}
	return slices.Equal(s.parts(), o.parts())
}

// Keep gives c with the values that old has of keys that need a restart: what a
// bridge that was started with old can do of c. c is not changed.
func (c *Config) Keep(old *Config) *Config {
	out := *c
	from, to := reflect.ValueOf(old).Elem(), reflect.ValueOf(&out).Elem()
	for _, k := range Keys() {
		if ClassOf(k.Path) == Restart {
			fieldAt(to, k.Path).Set(fieldAt(from, k.Path))
		}
	}
	return &out
}

// fieldAt finds the field of a key.
func fieldAt(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		for f := range fields(v.Type()) {
			if f.name == name {
				v = v.Field(f.index)
				break
			}
		}
	}
	return v
}
