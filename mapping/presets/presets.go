// Package presets holds device families as profiles: YAML files in the language
// of package mapping, embedded in the binary. It keeps no state, starts no
// goroutine and never blocks; order and loss are the Engine's matter.
package presets

import (
	"embed"
	"io/fs"
	"sort"
	"strings"

	_ "thingbridge/mapping/hass"      // the decoders homeassistant and esphome
	_ "thingbridge/mapping/sparkplug" // what the preset sparkplug-b names
)

//go:embed *.yaml
var files embed.FS

// Open gives the YAML of a preset. The bytes may be kept and changed.
func Open(name string) ([]byte, bool) {
	if strings.ContainsAny(name, "/\\.") {
		return nil, false
	}
	b, err := files.ReadFile(name + ".yaml")
	return b, err == nil
}

// Names lists the presets, sorted.
func Names() []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
