package config

import (
	"crypto/sha256"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
)

// Config is a whole configuration. [Load] gives a checked one; [Default] gives
// the values that stand in for keys which are not set.
type Config struct {
	Platform  Platform  `mapstructure:"platform"`
	MQTT      MQTT      `mapstructure:"mqtt"`
	DataDir   string    `mapstructure:"data_dir"` // where registry and outbox live; empty: memory only
	Outbox    Outbox    `mapstructure:"outbox"`
	Limits    Limits    `mapstructure:"limits"`
	Allow     Allow     `mapstructure:"allow"`
	Deny      Deny      `mapstructure:"deny"`
	Provision Provision `mapstructure:"provision"`
	Console   Console   `mapstructure:"console"`
	REST      REST      `mapstructure:"rest"`
	Log       Log       `mapstructure:"log"`

	File         string            `mapstructure:"-"` // the file it was read from; empty: none
	Sum          [sha256.Size]byte `mapstructure:"-"` // SHA-256 of its text
	Profiles     *mapping.Profiles `mapstructure:"-"` // compiled; never nil after Load
	ProfilesNode *yaml.Node        `mapstructure:"-"` // the profiles as they stand in the file; nil: none
}

// Platform is the connection to the ThingWorx platform.
type Platform struct {
	URL            string        `mapstructure:"url"`     // ws:// or wss://, with the path, usually /Thingworx/WS
	AppKey         Secret        `mapstructure:"app_key"` // application key, read again at each attempt to connect
	Gateway        Gateway       `mapstructure:"gateway"`
	Proxy          Secret        `mapstructure:"proxy"`           // http://[user:password@]host:port of an HTTP CONNECT proxy; empty: none
	Compression    bool          `mapstructure:"compression"`     // offer permessage-deflate
	PingInterval   time.Duration `mapstructure:"ping_interval"`   // 1s to 55s; nothing heard within 10s of a ping: the connection is dead
	MaxMessage     Size          `mapstructure:"max_message"`     // largest AlwaysOn message, both ways
	Chunk          Size          `mapstructure:"chunk"`           // largest piece of a message on the wire
	RequestTimeout time.Duration `mapstructure:"request_timeout"` // for the platform's answer to a push, an event or a call
	TLS            TLS           `mapstructure:"tls"`
}

// Gateway is how the bridge itself shows on the platform.
type Gateway struct {
	Name string `mapstructure:"name"` // Thing that the bridge binds for itself; empty: none
	Type string `mapstructure:"type"` // a gateway template: then every BIND and UNBIND carries name and type
}

// MQTT is the connection to the broker.
type MQTT struct {
	Broker         []string      `mapstructure:"broker"`    // tcp, ssl, ws, wss or unix URLs, tried in order
	ClientID       string        `mapstructure:"client_id"` // of the inbound, persistent session; with "-out" of the outbound one
	Username       string        `mapstructure:"username"`
	Password       Secret        `mapstructure:"password"` // read again at each attempt to connect
	KeepAlive      time.Duration `mapstructure:"keep_alive"`
	ConnectTimeout time.Duration `mapstructure:"connect_timeout"` // for dialling and for the broker's CONNACK
	TLS            TLS           `mapstructure:"tls"`
}

// OutboxMode says where values and events wait for the platform.
type OutboxMode string

// Outbox modes.
const (
	OutboxAuto   OutboxMode = ""       // disk when data_dir is set, else memory
	OutboxDisk   OutboxMode = "disk"   // durable before the broker's message is acknowledged
	OutboxMemory OutboxMode = "memory" // held unacknowledged until the platform has it
)

// WhenFull says what gives way in a full outbox.
type WhenFull string

// What gives way.
const (
	DropOldest WhenFull = "drop-oldest" // the oldest record of all goes
	Fold       WhenFull = "fold"        // of each property only the newest value stays
)

// Outbox is the queue between the broker's acknowledgement and the platform's.
type Outbox struct {
	Mode       OutboxMode    `mapstructure:"mode"`
	MaxBytes   Size          `mapstructure:"max_bytes"` // bound of what waits, in all
	MaxAge     time.Duration `mapstructure:"max_age"`   // older than this is dropped and counted
	WhenFull   WhenFull      `mapstructure:"when_full"`
	ReplayRate int           `mapstructure:"replay_rate"` // messages per second by which what waited shrinks, in all; 0: not limited
	HoldMax    int           `mapstructure:"hold_max"`    // mode memory: messages held unacknowledged at once
}

// Limits bound what devices and platform can make the bridge hold and do.
type Limits struct {
	Things                 int           `mapstructure:"things"`
	AnnouncementsPerSecond int           `mapstructure:"announcements_per_second"` // in all
	PayloadBytes           Size          `mapstructure:"payload_bytes"`            // of one MQTT message
	ValuesPerMessage       int           `mapstructure:"values_per_message"`
	DefinitionsPerThing    int           `mapstructure:"definitions_per_thing"` // properties, services and events together
	Calls                  int           `mapstructure:"calls"`                 // under way at once, in all
	CallsPerThing          int           `mapstructure:"calls_per_thing"`
	WaitingPerThing        int           `mapstructure:"waiting_per_thing"` // messages kept for a Thing that is not announced yet
	CallTimeout            time.Duration `mapstructure:"call_timeout"`      // for a device's answer, where its service names none
}

// Allow names what is let through. Entries are names, in which * stands for any
// run of characters and ? for one. Thing names are compared without case, as the
// platform does, service names with case.
type Allow struct {
	Things   []string `mapstructure:"things"`   // empty: all
	Services []string `mapstructure:"services"` // of devices, that the platform may call; empty: all
	Platform []string `mapstructure:"platform"` // services that a device may call on its own Thing; empty: none
}

// Deny names what is not let through, also where Allow names it.
type Deny struct {
	Things   []string `mapstructure:"things"`
	Services []string `mapstructure:"services"`
}

// Provision is the creation of Things that the platform does not have.
type Provision struct {
	Enabled  bool   `mapstructure:"enabled"`
	Template string `mapstructure:"template"` // ThingTemplate where the announcement names none
}

// Console is the listener for health, metrics and the page.
type Console struct {
	Listen        string   `mapstructure:"listen"` // host:port; empty: no listener
	Hosts         []string `mapstructure:"hosts"`  // names that it has besides, at a proxy before it
	Token         Secret   `mapstructure:"token"`
	Username      string   `mapstructure:"username"`
	Password      Secret   `mapstructure:"password"`
	AllowCalls    bool     `mapstructure:"allow_calls"`    // the API may call services of devices
	MetricsPublic bool     `mapstructure:"metrics_public"` // /metrics without log-in
	Pprof         bool     `mapstructure:"pprof"`          // Go's profiles under /debug/pprof/
}

// REST is the listener that forwards the platform's REST over the WebSocket.
type REST struct {
	Listen   string    `mapstructure:"listen"` // host:port; empty: no listener
	Token    Secret    `mapstructure:"token"`
	Username string    `mapstructure:"username"`
	Password Secret    `mapstructure:"password"`
	TLS      ServerTLS `mapstructure:"tls"`
	Allow    []string  `mapstructure:"allow"` // as [permit.ParseRule] reads them; empty: nothing is forwarded

	EdgeThings EdgeThings `mapstructure:"edge_things"`
}

// EdgeThings are components that speak HTTP and register at LocalEms on the
// REST listener, as they would at PTC's Edge MicroServer.
type EdgeThings struct {
	Enabled bool     `mapstructure:"enabled"`
	Hosts   []string `mapstructure:"hosts"` // whose agents may be called, as [permit.ParseHosts] reads them; empty: this one
	Max     int      `mapstructure:"max"`   // registered at a time
	TLS     TLS      `mapstructure:"tls"`   // towards agents that speak https
}

// LogLevel is the least severe level that is written.
type LogLevel string

// Log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the form of a log line.
type LogFormat string

// Log formats.
const (
	LogAuto LogFormat = "auto" // text on a terminal, JSON elsewhere
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Log is what is written to standard error.
type Log struct {
	Level  LogLevel  `mapstructure:"level"`
	Format LogFormat `mapstructure:"format"`
}

// Memory reports whether nothing of c outlives the process.
func (c *Config) Memory() bool { return c.DataDir == "" }

// OutboxMode gives the mode that is in force: OutboxDisk or OutboxMemory.
func (c *Config) OutboxMode() OutboxMode {
	switch {
	case c.Outbox.Mode != OutboxAuto:
		return c.Outbox.Mode
	case c.DataDir == "":
		return OutboxMemory
	default:
		return OutboxDisk
	}
}
