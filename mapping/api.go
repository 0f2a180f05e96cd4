package mapping

import (
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// Input is one MQTT message as the rules see it. Payload is read, never kept
// and never changed.
type Input struct {
	Topic    string
	Payload  []byte
	Retained bool
	Now      time.Time

	Heard []string // filled in by Handle: the profiles whose rules listen to the topic
}

// Publication is one message to send to the broker, at QoS 1 and not retained
// unless it says otherwise.
type Publication struct {
	Topic      string
	Payload    []byte
	AtMostOnce bool // QoS 0, for devices whose protocol wants that
	Retain     bool // the broker keeps it, for devices whose protocol wants that
}

// Effect is one thing that a message means: one of *Announced, *Gathering, *Left,
// *Presence, *Hold, *Sleep, *Values, *Event, *Reply, *Upward, *Unclaimed, *Rejected.
type Effect interface{ isEffect() }

// Announced says that a device announced itself, or announced something new.
// The device is not known to the Engine's other rules until Engine.Put accepts it.
type Announced struct {
	Rule   string // "profile/section/n" of what heard it; so in every effect
	Device *Device
	Live   bool // the device's own word, delivered with RETAIN 0; never of a list, or where a decoder says that it is another's
	Fresh  bool // delivered with RETAIN 0, and not of a list: whether it is retained is not known
	Adds   bool // by a rule with `creates: false`: it does not show that what makes the device still stands
}

// Left says that a device took its announcement back, or is missing from a
// list that is complete.
type Left struct {
	Rule   string
	Thing  string
	Source string // the topic that said so
}

// Stays says that the broker retains, on a topic that announced the Thing, a
// message that is no announcement at present (a rule's `when` is not true): it
// takes nothing back.
type Stays struct{ Thing string }

// Presence says that a Thing's device, or every device of a profile, is there or not.
type Presence struct {
	Rule    string
	Thing   string // empty: every Thing of Profile
	Profile string
	Online  bool
	Live    bool // delivered with RETAIN 0
	Alone   bool // an offline that does not take along the Things whose Parent it is
}

// Hold says whether a Thing's values must be kept back for now.
type Hold struct {
	Rule  string
	Thing string
	On    bool
}

// Sleep says whether a Thing's device sleeps for now: what is sent to it then
// waits, for Device.QueueFor.
type Sleep struct {
	Rule  string
	Thing string
	On    bool
}

// Values are property values of one Thing, in the order they were found. A value
// of NOTHING (of rules with `absent: keep`) says that the device has none: the
// property keeps its last one, with this quality.
type Values struct {
	Rule    string
	Thing   string
	Values  []alwayson.PropertyValue
	History bool // of the past: the property's present value stays what it is
	More    []MoreValues
}

// MoreValues says that values from From on are of another rule.
type MoreValues struct {
	From int
	Rule string
}

// RuleOf names the rule that found Values[i].
func (v *Values) RuleOf(i int) string {
	rule := v.Rule
	for _, m := range v.More {
		if i >= m.From {
			rule = m.Rule
		}
	}
	return rule
}

// Event is one event of one Thing.
type Event struct {
	Rule  string
	Thing string
	Name  string
	Data  *alwayson.InfoTable // nil: no data
	Time  time.Time
}

// Reply is a message that may answer an outstanding Call: the relay finds the
// call by Request where it is not empty, else offers it to the calls that wait
// for this Route on this Thing, oldest first, with Call.Answer.
type Reply struct {
	Thing   string
	Route   RouteID
	Request string
	Input   *Message
	Late    func() []Publication // gives what is to be sent when no call waits for the Request; nil: nothing
}

// Message is a decoded Input that expressions can be evaluated on later. It
// keeps no reference to the Input's payload slice.
type Message struct {
	rule *rule
	msg  *message
	vars []binding
}

// RouteID names one reply rule; calls and replies that have the same RouteID
// and Thing belong together.
type RouteID uint32

// Rule names the rule that heard the message, as Rejected.Rule does.
func (m *Message) Rule() string { return m.rule.id }

// Upward is a device's request for a service of its own Thing on the platform.
type Upward struct {
	Rule                    string
	Thing, Service, Request string
	Inputs                  any    // decoded JSON object
	ReplyTopic              string // where the reply goes
	Problem                 string // not empty: the request could not be read; answer it with this text
	Unannounced             bool   // the device has not announced itself; Thing is "" where it cannot be told
}

// Unclaimed says that the message belongs to a device of Profile that has not
// announced itself yet: it may mean something after the next announcement.
type Unclaimed struct {
	Profile string
	Thing   string // where it can be told already
}

// Rejected says why a message, or one value in it, came to nothing.
type Rejected struct {
	Thing  string // where it can be told
	Rule   string // "profile/section/n", stable for metrics
	Reason Reason
	Detail string // for people; names the member and what was expected; never the whole payload
}

// Reason classes a rejection; its text is a metric label.
type Reason string

// Reasons.
const (
	ReasonMalformed   Reason = "malformed"    // the payload is not of the rule's format
	ReasonType        Reason = "type"         // a value does not convert to its property's type
	ReasonNull        Reason = "null"         // null or absent: no value
	ReasonTooLarge    Reason = "too_large"    // over payload_bytes, values_per_message, list length, …
	ReasonIncomplete  Reason = "incomplete"   // what announces a device does not make one yet: more may come
	ReasonDefinition  Reason = "definition"   // an announcement's definition is not usable
	ReasonName        Reason = "name"         // a name that the platform does not accept
	ReasonIdentity    Reason = "identity"     // says something about a Thing it may not speak for
	ReasonExpression  Reason = "expression"   // an expression failed
	ReasonPresence    Reason = "presence"     // a presence that is neither online nor offline
	ReasonTime        Reason = "time"         // implausible time: receive time used instead, value kept
	ReasonUnknownRule Reason = "unknown_rule" // nothing listens to that topic
)

func (*Announced) isEffect() {}
func (*Left) isEffect()      {}
func (*Stays) isEffect()     {}
func (*Presence) isEffect()  {}
func (*Hold) isEffect()      {}
func (*Sleep) isEffect()     {}
func (*Values) isEffect()    {}
func (*Event) isEffect()     {}
func (*Reply) isEffect()     {}
func (*Upward) isEffect()    {}
func (*Unclaimed) isEffect() {}
func (*Rejected) isEffect()  {}

// Device is one announced device, immutable; a new announcement makes a new Device.
type Device struct {
	Profile     string
	Thing       string        // Thing name on the platform, already made acceptable
	Sources     []string      // the topics it was announced on, sorted
	Retained    bool          // every source was delivered retained at least once or is known to be
	Vars        []Var         // levels and let values, sorted by name
	Definitions *Definitions  // shared between devices where equal
	Parent      string        // Thing whose offline takes this one along; "" none
	ExpireAfter time.Duration // silence that means offline; 0 never
	QueueFor    time.Duration // how long calls and writes wait for a sleeping device; 0 not
	Decided     bool          // its presence alone says whether it is there: it is offline until then
	SleepTold   bool          // Sleep effects say when it sleeps; else a device with QueueFor sleeps whenever it is silent
	Parts       []Part        // what it was announced by, in the order of Sources, for Engine.Save
	Skipped     []string      // what a decoder left out of the announcements and why, for people

	raw     string       // the thing template's text before ThingName
	rules   *deviceRules // rules that came with the announcement; nil: none
	quiet   bool         // a decoder says that the announcements are not its own word
	since   int64        // when its Thing was Put first, in ms
	defsKey [32]byte     // tells equal Definitions

	inferred map[string]alwayson.BaseType // that Restore found
	origins  map[string]string            // likewise
}

// Var is one remembered value of a device: a string, int, float64, bool, list,
// map[string]any or nil.
type Var struct {
	Name  string
	Value any
	Let   bool // from let, or from a level that takes the rest of a topic: may hold '/' in topics sent to
}

// Part is one announcement of a device.
type Part struct {
	Source   string // topic
	Payload  []byte // the message's payload, or the one item of a list as JSON
	Retained bool

	rule *rule     // the announce rule that made it
	made *madePart // of a whole fragment; nil: not made yet, or none
}

// TopicsText names the topics that announced a device, for people: the first of
// them, and how many more.
func TopicsText(topics []string, separator string) string {
	const most = 5
	if len(topics) <= most {
		return strings.Join(topics, separator)
	}
	return strings.Join(topics[:most-1], separator) + fmt.Sprintf("%sand %d more", separator, len(topics)-most+1)
}

// Since is when the device's Thing was Put first, in milliseconds. Devices are to be
// restored, adopted and Put in that order: a topic that two want is the first one's.
func (d *Device) Since() int64 { return d.since }

// Var returns the remembered value called name, or nil.
func (d *Device) Var(name string) any {
	for i := range d.Vars {
		if d.Vars[i].Name == name {
			return d.Vars[i].Value
		}
	}
	return nil
}

// Definitions is what a device declares about its Thing.
type Definitions struct {
	Template    string // ThingTemplate for provisioning; "" the configured default
	Identifier  string // bound as "*Identifier" when not empty
	Description string
	Properties  map[string]*Property
	Services    map[string]*Service
	Events      map[string]*EventDefinition
}

// Confirm is how a property write is answered.
type Confirm string

// Confirmations of a write.
const (
	ConfirmSent  Confirm = ""      // once the broker has the message
	ConfirmEcho  Confirm = "echo"  // once the device publishes the property equal to it
	ConfirmReply Confirm = "reply" // by a reply message, as for services
)

// Property is a declared property.
type Property struct {
	alwayson.PropertyDefinition
	Writable bool
	Confirm  Confirm
	MaxAge   time.Duration // a known value older than this is asked for again on read; 0 never
	Min, Max *float64
	Step     *float64 // a written number is rounded to the nearest Min (or Max, or 0) + n × Step; nil any
	Values   []string // permitted texts; nil any
	Single   bool     // a NUMBER that the device keeps with 32 bits: what is written is rounded so
}

// Service is a declared service.
type Service struct {
	alwayson.ServiceDefinition
	Timeout time.Duration // 0: the default
	Open    bool          // inputs that are not declared are taken as they are
}

// EventDefinition is a declared event.
type EventDefinition struct{ alwayson.EventDefinition }

// Change says which topic filters an Engine needs more or no longer, for a Bus,
// and on which that are subscribed already what the broker retains is wanted once
// more: it came before the device was known.
type Change struct{ Subscribe, Unsubscribe, Refresh []string }

// CallError is the end of a call without a result.
type CallError struct {
	Code alwayson.Code
	Text string
}

func (e *CallError) Error() string { return e.Text }

// Call is one service call, property write or property read on its way to a device.
type Call struct {
	Thing   string
	Name    string // of the service or property, for people
	Request string // the id it is correlated by; unguessable; "" when Route has no ids
	Route   RouteID
	Send    []Publication
	Finally []Publication // to be sent if Send was: once the call has ended, or where Begun said yes and no answer came, by Reply.Late
	Timeout time.Duration
	Serial  bool    // one call at a time for this Thing and Route
	Confirm Confirm // what ends it: ConfirmSent needs no reply at all
	Engine  *Engine // whose rules made it
	// EchoProperty, when not empty, ends the call by a Values effect of this
	// Thing that holds the property: equal to EchoValue for a write (EchoValue
	// not NOTHING), any value for a read.
	EchoProperty string
	EchoValue    alwayson.Value

	answer func(*Message) (alwayson.Value, error, bool)
	begun  func(*Message) bool
}

// Begun reports whether a message that is not the call's answer shows that the
// device has begun to do what was asked.
func (c *Call) Begun(m *Message) bool { return c.begun != nil && c.begun(m) }

// Answer offers a reply message to the call. ok is false when the message is
// not its answer; err is a *CallError or nil; result is of the declared output type.
func (c *Call) Answer(m *Message) (result alwayson.Value, err error, ok bool) {
	if c.answer == nil {
		return alwayson.Value{}, nil, false
	}
	return c.answer(m)
}

// AskOn is the occasion for asking devices for what is not retained.
type AskOn string

// Occasions.
const (
	AskConnect  AskOn = "connect"
	AskPresence AskOn = "presence"
	AskAnnounce AskOn = "announce"
)

// Ask is one question to send, at most once per Every for one Thing (or for the profile).
type Ask struct {
	Publication
	Every   time.Duration // repeat interval; 0 once per occasion
	Profile string        // whose question it is
}
