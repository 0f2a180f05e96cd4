package devicesim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// message is one MQTT message to send, after Delay.
type message struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	delay   time.Duration
}

// device is one simulated device. One goroutine calls it.
type device interface {
	// will is what the broker says when the device's connection breaks; nil: nothing.
	will() *message
	// filters are the topics it listens to.
	filters() []string
	// hello is said on each new connection, tick at each interval, goodbye at the end.
	hello(now time.Time) []message
	tick(now time.Time) []message
	goodbye() []message
	// handle answers a message on one of its topics.
	handle(topic string, payload []byte, now time.Time) []message
}

// family makes devices of one kind.
type family struct {
	make func(name string, rng *rand.Rand) device
	// gateway makes what stands before all devices and speaks for them; nil where
	// each speaks for itself. Devices of one gateway share one connection; its will
	// is the connection's, and it gets what owner names "".
	gateway func(devices []device) device
	// owner gives the name of the device that a topic is for, or everyone; "" if none.
	owner func(topic string) string
}

// everyone is what owner names when a topic is for all devices. No device can
// be called so: names hold no "+".
const everyone = "+"

var families = map[string]family{
	"native": {make: newNative, owner: nativeOwner},
}

// Families lists the names that Options.Family may have.
func Families() []string { return slices.Sorted(maps.Keys(families)) }
