package bridge

import (
	"errors"
	"time"

	"thingbridge/edge/alwayson"
)

// Platform is the far end that Things are bound on; edge.Client is one. All
// methods return at once and may be called from any goroutine. A Thing is named
// by its platform name: the Thing name, or "*" and its identifier.
type Platform interface {
	// Want makes names part of the set of Things that should be bound. The
	// platform side binds them, again after each reconnect, until Unwant.
	Want(names ...string)
	// Unwant takes names out of the set and unbinds those that are bound.
	Unwant(names ...string)
	// Rebind asks for the name's BIND once more, at once, on the present connection.
	Rebind(name string)
	// Start sends one request and calls done exactly once: with the response
	// (of any status), or with an error when there is no connection
	// (alwayson.ErrNotConnected), it was lost before the answer, the time ran
	// out, or the message is over the message size (alwayson.ErrTooLarge).
	// done runs on the platform side's goroutine and must not block.
	Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error))
	// MaxBody is the largest request body, in bytes, that can be sent.
	MaxBody() int
}

// PlatformEvents is what a Platform tells the bridge. Calls for one Thing come
// in order, none may block.
type PlatformEvents interface {
	// PlatformUp and PlatformDown report the authenticated connection. session
	// counts connections from 1.
	PlatformUp(session uint64)
	PlatformDown(session uint64, err error)
	// BindChanged reports each change of a wanted Thing's state; reason is the platform's text for Refused.
	BindChanged(name string, state alwayson.BindState, reason string)
	// Subscribed reports the platform's property subscriptions of a bound Thing;
	// they replace the former ones and open the gate for its pushes.
	Subscribed(name string, subs []alwayson.Subscription)
	// CurrentValues gives the last known values of a Thing (SynchronizeModelState).
	CurrentValues(name string) []alwayson.PropertyValue
	// Request hands over a request for a bound Thing. respond must be called
	// exactly once, from any goroutine.
	Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response))
}

// Message is one MQTT message received. It must be acknowledged exactly once
// after hand-over, from any goroutine; Ack does nothing for QoS 0.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
	Dup      bool
	Received time.Time
	Session  uint64 // the connection that it came on, as BusUp has it; 0: not known
	AckFunc  func() // nil for QoS 0
}

// Ack acknowledges m to the broker.
func (m *Message) Ack() {
	if m.AckFunc != nil {
		m.AckFunc()
	}
}

// Ends of a Publication that the broker did not confirm.
var (
	// ErrBusDown says that the bus has stopped for good.
	ErrBusDown = errors.New("the MQTT side has stopped")
	// ErrExpired says that the publication's time ran out before it was sent or confirmed.
	ErrExpired = errors.New("the publication expired before the broker had it")
	// ErrBusFull says that too many publications wait already.
	ErrBusFull = errors.New("too many publications wait for the broker")
)

// Publication is one message to send.
type Publication struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Expires time.Time // never sent after this; zero: no limit
}

// Bus is the MQTT side; mqttbus.Bus is one. All methods return at once and may
// be called from any goroutine.
type Bus interface {
	// Subscribe and Unsubscribe change the set of topic filters that should be
	// subscribed (QoS 1); the bus closes the gap, again after each reconnect.
	Subscribe(filters ...string)
	Unsubscribe(filters ...string)
	// Publish sends p and calls done exactly once: with nil once the broker has
	// it (PUBACK for QoS 1, written for QoS 0), else with ErrBusDown,
	// ErrExpired, ErrBusFull, or an error about a topic that cannot be published
	// to. While there is no connection it waits, until p.Expires. done runs on
	// the bus's goroutine, never inside Publish, and must not block. A nil done is allowed.
	Publish(p Publication, done func(error))
	// Between has f run on the goroutine that calls BusEvents.Message, after the
	// messages that were received before; not any more once the bus has stopped.
	Between(f func())
}

// BusEvents is what a Bus tells the bridge.
type BusEvents interface {
	// Message hands over one message. It is called from one goroutine, which is
	// never the MQTT library's; it may block for a short time, then nothing more is read.
	Message(m *Message)
	// BusUp reports that both connections stand and every filter of the set has
	// its SUBACK; called again after each reconnect and after each later Subscribe was acknowledged.
	BusUp(session uint64)
	BusDown(session uint64, err error)
	// TooLarge tells of a message that is not handed over because its payload is
	// over limits.payload_bytes. It is called while the network is read, and does not block.
	TooLarge(topic string, bytes int)
}

// Record is one unit in the Outbox: opaque data of one Thing.
type Record struct {
	Seq   uint64 // given by Append; grows by one per record, over all Things
	Thing string
	Key   string // records of one Thing with an equal, non-empty Key fold to the newest when the outbox is full and folds
	Time  int64  // milliseconds: when it was received, for max_age
	Data  []byte
}

// Outbox is the queue between the broker's acknowledgement and the platform's;
// outbox.Disk and outbox.Memory are such. Safe for concurrent use.
type Outbox interface {
	// Append adds records, in order, and calls kept(nil) once they are kept as
	// the mode promises (on disk: durable), or kept(err) when they cannot be
	// kept. It may block for a short time when the disk is slow.
	// kept may be called on another goroutine and must not block.
	Append(recs []Record, kept func(error))
	// Peek returns the oldest records of a Thing that come after seq `after`, at most max
	// records and about maxBytes bytes of data, without removing them.
	Peek(thing string, after uint64, max, maxBytes int) ([]Record, error)
	// Done removes the Thing's records up to and including seq.
	Done(thing string, seq uint64)
	// Drop removes all records of a Thing.
	Drop(thing string)
	// Things lists the Things that have records.
	Things() []string
	// Depth gives the number and bytes of a Thing's records; "" for all.
	Depth(thing string) (records int, bytes int64, oldest time.Time)
}

// Store keeps the registry and the promised writes; store.Store is one. Safe for concurrent use.
type Store interface {
	// Save keeps a Thing's saved form; it may return before it is durable.
	Save(thing string, data []byte) error
	Delete(thing string) error
	// Load calls each for every kept Thing.
	Load(each func(thing string, data []byte) error) error

	// SaveWrite keeps a write that is promised to a Thing, as Save does a Thing.
	SaveWrite(id uint64, data []byte) error
	DeleteWrite(id uint64) error
	// LoadWrites calls each for every kept write, in the order of the ids. The
	// Store may be used from within each.
	LoadWrites(each func(id uint64, data []byte) error) error
}
