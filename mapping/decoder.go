package mapping

import (
	"fmt"
	"sort"
	"sync"
)

// Decoder turns one announcement message into profile fragments, where the
// language cannot. It must be pure, bear any payload, and be safe for
// concurrent use.
type Decoder interface {
	// Decode reads one announcement. No fragments means that the message says
	// nothing of interest; what its topic announced before is taken back then. A
	// *Pass says why. Any other error refuses the message, with a reason for people,
	// and changes nothing.
	Decode(in *DecoderInput) ([]Fragment, error)
}

// Pass is how a Decoder leaves a message that is no announcement for it.
type Pass struct {
	Why  string // for people
	Keep bool   // what the topic announced before stands
}

func (p *Pass) Error() string { return p.Why }

// Sharer is a Decoder that leaves no device to two profiles: it passes, or the
// other does, where both hear an announcement.
type Sharer interface {
	// Shares reports whether this is so with the decoder of that name.
	Shares(decoder string) bool
}

// DecoderInput is one announcement that a profile's patterns matched and whose
// payload is not empty.
type DecoderInput struct {
	Topic      string
	Levels     map[string]string // the pattern's named levels
	Payload    []byte            // as it came, not to be kept
	Value      any               // decoded by the announcement's format; nil if it is not of it
	Parameters map[string]any    // the profile's, not to be changed
	Beside     []string          // the decoders of the other profiles; not to be changed
	// Permits reports whether the profile's allow_topics let a topic be used.
	Permits func(topic string) bool
}

// Fragment is what one announcement says of one Thing. Several announcements
// may name one Thing: their fragments are merged.
type Fragment struct {
	Thing string // before ThingName's rule
	// Let are remembered values: ${device.x}.
	Let map[string]any
	// Rules has a profile's keys for this one Thing: template, identifier,
	// description, parent, presence, leave, properties (a mapping of definitions with
	// topic and value, or a list of rules), writes, reads, services, events,
	// ask, expire_after, queue. Topics are literal and lie under the profile's
	// allow_topics.
	Rules map[string]any
	// Skipped says what was left out and why, for people. It stays with the device
	// as long as the announcement stands.
	Skipped []string
	// Whole says that what the announcement declares is not joined, member by
	// member, with what others declare: its rules are compiled once and kept, so
	// that a device of many announcements costs their number and not its square.
	// Of two that declare the same name, the one whose topic sorts first has it, the
	// other's is left out and told. The device remembers Let alone, and no levels.
	// A message has at most one whole fragment for a Thing.
	Whole bool
	// Parent names the Thing whose offline takes this one along, by the levels in
	// which its topics differ from this one's. A DeviceDecoder's alone.
	Parent map[string]string
	// Quiet says that the announcement is not the device's own word, but for
	// example its gateway's: it never brings back a device that is offline.
	Quiet bool
}

// DeviceDecoder makes a device of all its announcements together, where one of
// them alone says nothing. Its profile names the Thing by `thing`, from the topic
// alone, and its announce rules have `gather`. It must be pure, bear any
// payloads, and be safe for concurrent use.
type DeviceDecoder interface {
	// DecodeDevice reads everything that is known of one device, by topic; all is
	// not empty. Of the Fragment, Thing, Whole and Quiet are not looked at. A *Pass says
	// that this does not make a device yet, or no more. Any other error refuses the
	// announcement, with a reason for people.
	DecodeDevice(all []*DecoderInput) (*Fragment, error)
}

var (
	decodersMu     sync.RWMutex
	decoders       = map[string]Decoder{}
	deviceDecoders = map[string]DeviceDecoder{}
)

// RegisterDecoder makes a decoder known as `decoder: NAME`. It panics when the
// name is taken. Call it from init only.
func RegisterDecoder(name string, d Decoder) {
	decodersMu.Lock()
	defer decodersMu.Unlock()
	freeDecoderLocked(name)
	decoders[name] = d
}

// RegisterDeviceDecoder is RegisterDecoder for a decoder of whole devices.
func RegisterDeviceDecoder(name string, d DeviceDecoder) {
	decodersMu.Lock()
	defer decodersMu.Unlock()
	freeDecoderLocked(name)
	deviceDecoders[name] = d
}

func freeDecoderLocked(name string) {
	if decoders[name] != nil || deviceDecoders[name] != nil {
		panic(fmt.Sprintf("mapping: decoder %s is registered twice", name))
	}
}

// decoderByName finds a decoder of either kind; both are nil when there is none.
func decoderByName(name string) (Decoder, DeviceDecoder) {
	decodersMu.RLock()
	defer decodersMu.RUnlock()
	return decoders[name], deviceDecoders[name]
}

func decoderNames() []string {
	decodersMu.RLock()
	defer decodersMu.RUnlock()
	names := append(sortedKeys(decoders), sortedKeys(deviceDecoders)...)
	sort.Strings(names)
	return names
}
