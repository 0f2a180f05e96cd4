package mapping

import (
	"crypto/sha256"
	"time"

	"thingbridge/edge/alwayson"
)

// Profiles is a compiled, immutable list of profiles. It is safe to share
// between Engines and goroutines.
type Profiles struct {
	profiles []*profile
	sigs     int     // number of index signatures over all profiles
	routes   RouteID // the highest that was given
}

// Names lists the profiles in their order.
func (p *Profiles) Names() []string {
	names := make([]string, len(p.profiles))
	for i, prof := range p.profiles {
		names[i] = prof.name
	}
	return names
}

// profile is one compiled profile.
type profile struct {
	name   string
	order  int
	family int               // number of the list's member that it came from; a preset may be several profiles
	print  [sha256.Size]byte // tells profiles that say the same
	params map[string]any

	thing       *template
	template    *template
	identifier  *template
	description *template
	parent      *expression
	decides     bool // a presence rule decides whether a device is there, and not its announcement
	sleepTold   bool // a presence rule tells when a device sleeps
	expire      durationSpec
	queue       durationSpec
	allowTopics []string // filters; nil: topics learned from payloads are refused
	decoder     Decoder
	devices     DeviceDecoder
	decoderName string
	beside      []string     // decoders of the other profiles
	session     *sessionKind // nil: none
	state       *stateRule   // nil: none

	announces  []*rule
	signatures [][]string // sets of names that tell a device from what a topic holds
	byIndex    []*rule    // of presence and properties, whose devices signatures find
	sigBase    int        // number of the first signature among all profiles'
	ruleSet
}

// ruleSet is what a profile, or one device of it, adds to announcing.
type ruleSet struct {
	rules  []*rule // listened to, announcements excluded
	calls  []*callRule
	asks   []*askRule
	defs   *Definitions // what the rules themselves declare; never nil
	expire durationSpec // of a fragment
	queue  durationSpec
}

// deviceRules is the rule set of one announcement.
type deviceRules struct{ ruleSet }

// durationSpec is a fixed duration or an expression for one, in seconds when
// it yields a number.
type durationSpec struct {
	fixed time.Duration
	x     *expression
}

func (d durationSpec) of(s *scope) time.Duration {
	if d.x == nil {
		return d.fixed
	}
	v, err := s.eval(d.x)
	if err != nil || v == nil {
		return 0
	}
	if f, ok := asFloat(v); ok && f >= 0 && f < 1e9 {
		return time.Duration(f * float64(time.Second))
	}
	if text, ok := v.(string); ok {
		if p, err := time.ParseDuration(text); err == nil && p >= 0 {
			return p
		}
	}
	return 0
}

// kind is what a rule listens for.
type kind uint8

const (
	kindAnnounce kind = iota
	kindPresence
	kindLeave
	kindProperty
	kindEvent
	kindReply
	kindUpward
)

var kindNames = [...]string{"announce", "presence", "leave", "properties", "events", "reply", "platform"}

// rule is one thing listened to.
type rule struct {
	id       string // profile/section/n
	order    int    // over all profiles; a message's rules run in this order
	prof     *profile
	kind     kind
	pat      *pattern  // with a stand-in for what topic fills
	topic    *template // nil when the pattern is whole at load; else it has ${device.…} or ${bridge.reply}
	format   string
	encoding string
	when     *expression
	gate     *expression // what of when needs no device; nil: nothing of it
	thing    identity

	announce *announceRule
	presence *presenceRule
	property *propertyRule
	event    *eventRule
	upward   *upwardRule
	route    RouteID // of a reply
	request  requestKind
	reqExpr  *expression // the request's id in the reply
	call     *callRule   // of a reply
	fail     bool        // the reply rule only tells failures
}

// identity is how a message of a rule finds its Things.
type identity struct {
	mode identityMode
	sig  int // among the profile's signatures
}

type identityMode uint8

const (
	byTemplate identityMode = iota // the thing template is computed from the topic
	byIndex                        // names in common with the announcement
	byDevice                       // the rule is subscribed for each device
	byProfile                      // speaks for all devices of the profile
)

type announceRule struct {
	let    []namedExpression
	each   *expression
	full   bool
	merge  bool // several topics that the rule hears make one device
	define *expression
	keep   bool          // an empty payload is not a leave
	adds   bool          // makes no device of its own: it tells more of one that is announced
	alone  bool          // of a decoder: each topic makes a device of its own
	gather time.Duration // what comes is gathered until none has come for so long; 0: each message counts at once
	direct bool          // the thing template is computed from the topic alone
}

type namedExpression struct {
	name string
	x    *expression
}

type presenceRule struct {
	online, offline, hold *expression
	asleep, along         *expression
	all, decides          bool
	group                 string // rules of one group speak together; "": alone
	need                  string // of a group: all, any or latest
	key                   string // tells equal ones, where they came with whole fragments
}

type propertyRule struct {
	time, quality *expression
	each          *expression
	wrapper       bool
	history       *expression // true: a value of the past
	keepNull      bool        // no value keeps the last one, and is told by its quality
	values        []valueRule // named one by one
	object        *expression // or all members of an object
	one           *valueRule  // or one, with a computed name
	from          *expression // what that name is made of
}

// valueRule is one value. Where neither name nor nameExpr is set the level
// {property} names it.
type valueRule struct {
	name     string
	nameExpr *expression
	nameTmpl *template
	value    *expression
	def      *Property   // declared here; nil: by the device's definitions or inferred
	typeExpr *expression // the type is computed
}

type eventRule struct {
	name     string
	nameExpr *expression
	nameTmpl *template
	time     *expression
	each     *expression
	data     *expression // an object
	fields   []eventField
}

type eventField struct {
	value *expression
	def   alwayson.FieldDefinition
}

type upwardRule struct {
	inputs *expression
	reply  *template
}

type requestKind uint8

const (
	requestNone    requestKind = iota // correlated by serial or echo
	requestLevel                      // a level {request}
	requestPayload                    // an expression
)

// callRule is one way to call a service, write or read a property.
type callRule struct {
	id       string
	kind     callKind
	name     namePattern
	text     string // the name as written
	service  *Service
	send     []sendRule
	finally  []sendRule // sent once the call has ended
	confirm  Confirm
	timeout  time.Duration
	either   bool // an echo of the property ends a write, too
	serial   bool
	numeric  bool
	declared bool // of services: only those that the device declares
	request  requestKind
	route    RouteID
	replies  []*rule

	match, result, errorExpr, echo, expect *expression
	begun                                  *expression // shows that the device is at it
	failError, failMatch                   *expression
}

type callKind uint8

const (
	callService callKind = iota
	callWrite
	callRead
)

var callNames = [...]string{"services", "writes", "reads"}

type sendRule struct {
	topic, payload *template
	format         string // what the payload is encoded as; "": it is sent as it is
	atMostOnce     bool
	retain         bool
}

type askRule struct {
	on AskOn
	sendRule
	every time.Duration
	when  *expression
}

// entry is one pattern in a Matcher: a static rule, or a rule for one device.
type entry struct {
	rule  *rule
	pat   *pattern
	state *deviceState // nil: static
}
