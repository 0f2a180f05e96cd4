package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// validate checks what the types alone do not: ranges, words, what is required
// and what goes together. It reports all of it.
func (l *loader) validate(c *Config) {
	l.platform(&c.Platform)
	l.mqtt(&c.MQTT)
	l.dataDir(c.DataDir)
	l.outbox(c)
	l.limits(&c.Limits)
	l.names(c)
	l.console(&c.Console)
	l.rest(c)
	word(l, "log.level", c.Log.Level, LogDebug, LogInfo, LogWarn, LogError)
	word(l, "log.format", c.Log.Format, LogAuto, LogText, LogJSON)
	l.configFile(c)
}

func (l *loader) fault(path, message, expected string)   { l.at(path, message, expected, false) }
func (l *loader) caution(path, message, expected string) { l.at(path, message, expected, true) }

// bad reports whether a key has a problem already, so that its default, which
// stands in for the value, is not judged too.
func (l *loader) bad(path string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool {
		return !p.Warning && (p.Path == path || strings.HasPrefix(p.Path, path+"["))
	})
}

// word checks a value against the words that are known.
func word[T ~string](l *loader, path string, have T, known ...T) {
	if slices.Contains(known, have) || l.bad(path) {
		return
	}
	var names, quoted []string
	for _, k := range known {
		if k != "" {
			names = append(names, string(k))
			quoted = append(quoted, fmt.Sprintf("%q", string(k)))
		}
	}
	message := fmt.Sprintf("%q is not known here", string(have))
	if n := nearest(string(have), names); n != "" {
		message += fmt.Sprintf(", did you mean %q?", n)
	}
	l.fault(path, message, "one of "+strings.Join(quoted, ", "))
}

// within checks a range, both ends included.
func within[T cmp.Ordered](l *loader, path string, have, low, high T) {
	if low <= have && have <= high || l.bad(path) {
		return
	}
	show := func(v T) string {
		switch v := any(v).(type) {
		case time.Duration:
			return FormatDuration(v)
		default:
			return fmt.Sprint(v)
		}
	}
	l.fault(path, show(have)+" is out of range", show(low)+" to "+show(high))
}

// require reports a key that must be set and is not.
func (l *loader) require(path string, set bool, example string) bool {
	if !set && !l.bad(path) {
		l.fault(path, "is not set", example)
	}
	return set
}

const (
	// timeoutCeiling is the longest time for a device's answer: the platform
	// itself gives up at 30 s.
	timeoutCeiling = 25 * time.Second
	// pingCeiling is below the 60 s after which a platform drops an idle connection.
	pingCeiling = 55 * time.Second
)

func (l *loader) platform(p *Platform) {
	if l.require("platform.url", p.URL != "", "for example wss://twx.example.com/Thingworx/WS") {
		l.platformURL(p.URL, p.TLS)
	}
	if l.require("platform.app_key", p.AppKey.IsSet(), "an application key, for example ${file:/run/secrets/app_key}") {
		l.secretValue("platform.app_key", p.AppKey)
	}
	if p.Gateway.Type != "" && p.Gateway.Name == "" {
		l.fault("platform.gateway.name", "is not set, but platform.gateway.type is", "the name of the gateway Thing")
	}
	if p.Gateway.Name != "" {
		l.thingName("platform.gateway.name", p.Gateway.Name)
	}
	if p.Proxy.IsSet() {
		l.proxy(p.Proxy)
	}
	within(l, "platform.ping_interval", p.PingInterval, time.Second, pingCeiling)
	within(l, "platform.max_message", p.MaxMessage, 16<<10, 64<<20)
	within(l, "platform.chunk", p.Chunk, 1<<10, 65535)
	if p.Chunk > p.MaxMessage && !l.bad("platform.chunk") && !l.bad("platform.max_message") {
		l.fault("platform.chunk", fmt.Sprintf("%v is more than platform.max_message, %v", p.Chunk, p.MaxMessage), "a smaller chunk")
	}
	within(l, "platform.request_timeout", p.RequestTimeout, time.Second, 5*time.Minute)
	l.tls("platform.tls", p.TLS)
}

func (l *loader) mqtt(m *MQTT) {
	if l.require("mqtt.broker", len(m.Broker) > 0, "for example ssl://broker.example.com:8883") {
		l.brokers(m)
	}
	if l.require("mqtt.client_id", m.ClientID != "", "a name that no other client of the broker has, for example thingbridge-plant-7") {
		l.clientID(m.ClientID)
	}
	if m.Password.IsSet() {
		l.secretValue("mqtt.password", m.Password)
		if m.Username == "" {
			l.fault("mqtt.password", "is set without mqtt.username, which MQTT 3.1.1 forbids", "a username")
		}
	}
	within(l, "mqtt.keep_alive", m.KeepAlive, 5*time.Second, 65535*time.Second)
	if m.KeepAlive%time.Second != 0 && !l.bad("mqtt.keep_alive") {
		l.fault("mqtt.keep_alive", FormatDuration(m.KeepAlive)+" is not a whole number of seconds", `for example "30s"`)
	}
	within(l, "mqtt.connect_timeout", m.ConnectTimeout, time.Second, 5*time.Minute)
	l.tls("mqtt.tls", m.TLS)
}

func (l *loader) outbox(c *Config) {
	o := &c.Outbox
	word(l, "outbox.mode", o.Mode, OutboxAuto, OutboxDisk, OutboxMemory)
	word(l, "outbox.when_full", o.WhenFull, DropOldest, Fold)
	within(l, "outbox.max_bytes", o.MaxBytes, 1<<20, 1<<40)
	within(l, "outbox.max_age", o.MaxAge, time.Minute, 366*24*time.Hour)
	within(l, "outbox.replay_rate", o.ReplayRate, 0, 1_000_000)
	within(l, "outbox.hold_max", o.HoldMax, 1, 65535)
	switch {
	case o.Mode == OutboxDisk && c.DataDir == "":
		l.fault("outbox.mode", `is "disk", but data_dir is not set`, "a data_dir, or mode memory")
	case c.DataDir == "":
		l.caution("data_dir", "is not set: nothing outlives the bridge. A stop or crash loses what the platform has not got yet, "+
			"and writes that wait for sleeping devices though they were answered, and Things whose announcement is not retained are forgotten; the broker keeps nothing for the bridge while it is away", "a directory, for example /var/lib/thingbridge")
	case o.Mode == OutboxMemory:
		l.caution("outbox.mode", `is "memory": what waits over 5 s for a Thing that is not bound is acknowledged to the broker and kept in RAM; a crash loses it`, "disk")
	}
}

func (l *loader) limits(m *Limits) {
	within(l, "limits.things", m.Things, 1, 1_000_000)
	within(l, "limits.announcements_per_second", m.AnnouncementsPerSecond, 1, 1_000_000)
	within(l, "limits.payload_bytes", m.PayloadBytes, 1<<10, 64<<20)
	within(l, "limits.values_per_message", m.ValuesPerMessage, 1, 100_000)
	within(l, "limits.definitions_per_thing", m.DefinitionsPerThing, 1, 100_000)
	within(l, "limits.calls", m.Calls, 1, 100_000)
	within(l, "limits.calls_per_thing", m.CallsPerThing, 1, 10_000)
	within(l, "limits.waiting_per_thing", m.WaitingPerThing, 1, 100_000)
	switch {
	case l.bad("limits.call_timeout"):
	case m.CallTimeout > timeoutCeiling:
		l.fault("limits.call_timeout", FormatDuration(m.CallTimeout)+" is longer than the platform waits: it gives up at 30s", "at most "+FormatDuration(timeoutCeiling))
	default:
		within(l, "limits.call_timeout", m.CallTimeout, 100*time.Millisecond, timeoutCeiling)
	}
	if m.CallsPerThing > m.Calls && !l.bad("limits.calls_per_thing") && !l.bad("limits.calls") {
		l.fault("limits.calls_per_thing", fmt.Sprintf("%d is more than limits.calls, %d", m.CallsPerThing, m.Calls), "a smaller number")
	}
}

// names checks the lists of names and the template.
func (l *loader) names(c *Config) {
	for _, path := range []string{"allow.things", "allow.services", "allow.platform", "deny.things", "deny.services"} {
		seen := map[string]bool{}
		list, _ := valueOf(c, path).([]string)
		for i, name := range list {
			place := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case strings.TrimSpace(name) != name || name == "":
				l.fault(place, fmt.Sprintf("%q is empty or has space around it", name), "a name, with * for any run of characters")
			case seen[name]:
				l.caution(place, fmt.Sprintf("%q is listed twice", name), "each name once")
			}
			seen[name] = true
		}
	}
	if slices.Contains(c.Deny.Things, "*") {
		l.caution("deny.things", "* lets no Thing through", "names")
	}
	if c.Provision.Enabled && c.Provision.Template == "" {
		l.fault("provision.template", "is empty, but provision.enabled is true", "the name of a ThingTemplate, for example RemoteThing")
	}
}

// tls checks what one side's settings name, by reading it as a connection would.
func (l *loader) tls(path string, t TLS) {
	word(l, path+".min_version", t.MinVersion, TLS12, TLS13)
	if !t.Verify && !l.bad(path+".verify") {
		l.caution(path+".verify", "is false: anybody in between can read and change everything, the secrets too", "true, with ca for a CA of your own")
	}
	l.pair(path, t.Cert, t.Key)
	if _, err := (TLS{CA: t.CA}).Config(""); err != nil {
		l.fault(path+".ca", strings.TrimPrefix(err.Error(), "ca: "), "a PEM file with one or more certificates")
	}
}

// pair checks a certificate and its key.
func (l *loader) pair(path string, cert, key Material) {
	if cert.IsSet() != key.IsSet() {
		missing, there := path+".key", path+".cert"
		if key.IsSet() {
			missing, there = there, missing
		}
		l.fault(there, "is set without "+missing, "both")
	} else if _, err := (TLS{Cert: cert, Key: key}).Config(""); err != nil {
		l.fault(path+".cert", err.Error(), "PEM files that are there and belong together")
	}
	if key.source.IsSet() && strings.Contains(key.String(), masked) {
		l.caution(path+".key", literalWarning, "the path of a file")
	}
	for _, file := range key.files() {
		l.permissions(path+".key", file)
	}
}

// isDefault reports whether nothing was set in the section.
func (t TLS) isDefault() bool { return reflect.DeepEqual(t, defaultTLS()) }
