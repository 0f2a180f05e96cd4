package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// flagged are the keys that have a flag of their own. Secrets have none: other
// users of a machine see the command lines of its processes.
var flagged = []struct{ path, usage string }{
	{"platform.url", "WebSocket URL of the platform"},
	{"mqtt.broker", "broker URL, several separated by commas"},
	{"mqtt.client_id", "client id at the broker"},
	{"data_dir", "directory of registry and outbox"},
	{"console.listen", "address of health, metrics and API"},
	{"log.level", "debug, info, warn or error"},
	{"log.format", "auto, text or json"},
}

// AddFlags adds the flags that go above environment and file, for Options.Flags.
func AddFlags(fs *pflag.FlagSet) {
	for _, f := range flagged {
		fs.String(flagName(f.path), "", f.usage+" ("+f.path+")")
	}
}

// flagName gives the name of the flag that sets a key.
func flagName(path string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(path) }
