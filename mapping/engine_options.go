package mapping

import "time"

// Limits bound what one message or one device may cost. A zero field means its default.
type Limits struct {
	PayloadBytes        int // of one message, and of what it unpacks to; default 1 MiB
	ValuesPerMessage    int // property values of one message; default 10,000
	DefinitionsPerThing int // properties, services, events and inferred types of one Thing together; default 2,000
	ListItems           int // items of one list in a payload; default 10,000
}

// Options configure an Engine. A zero field means its default.
type Options struct {
	Limits Limits
	// NewRequestID makes the id of one call: unguessable, fit for a topic
	// level. Default: 128 random bits in hex.
	NewRequestID func() string
	// NewNumericRequestID makes ids for devices that take numbers only.
	// Default: 52 random bits.
	NewNumericRequestID func() int64
	// ReplyPrefix is ${bridge.reply}: the topic prefix of the bridge's own for
	// devices that are told where to answer. Default "thingbridge/reply".
	ReplyPrefix string
	// DefaultTimeout is a call's time where nothing else says so; default 10 s.
	DefaultTimeout time.Duration
}

func (o Options) withDefaults() Options {
	def := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def(&o.Limits.PayloadBytes, 1<<20)
	def(&o.Limits.ValuesPerMessage, 10_000)
	def(&o.Limits.DefinitionsPerThing, 2_000)
	def(&o.Limits.ListItems, maxListItems)
	if o.NewRequestID == nil {
		o.NewRequestID = randomID
	}
	if o.NewNumericRequestID == nil {
		o.NewNumericRequestID = randomNumber
	}
	if o.ReplyPrefix == "" {
		o.ReplyPrefix = "thingbridge/reply"
	}
	if o.DefaultTimeout <= 0 {
		o.DefaultTimeout = 10 * time.Second
	}
	return o
}
