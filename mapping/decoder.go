package mapping

import (
	"fmt"
	"sync"
)

// Decoder turns one announcement message into profile fragments, where the
// language cannot. It must be pure, bear any payload, and be safe for
// concurrent use.
type Decoder interface {
	// Decode reads one announcement. No fragments means that the message says
	// nothing of interest. An error refuses the message, with a reason for people.
	Decode(in *DecoderInput) ([]Fragment, error)
}

// DecoderInput is one announcement that a profile's patterns matched and whose
// payload is not empty.
type DecoderInput struct {
	Topic      string
	Levels     map[string]string // the pattern's named levels
	Payload    []byte            // as it came, not to be kept
	Value      any               // decoded by the announcement's format; nil if it is not of it
	Parameters map[string]any    // the profile's, not to be changed
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
	// Skipped says what was left out and why, for people.
	Skipped []string
}

var (
	decodersMu sync.RWMutex
	decoders   = map[string]Decoder{}
)

// RegisterDecoder makes a decoder known as `decoder: NAME`. It panics when the
// name is taken. Call it from init only.
func RegisterDecoder(name string, d Decoder) {
	decodersMu.Lock()
	defer decodersMu.Unlock()
	if _, taken := decoders[name]; taken {
		panic(fmt.Sprintf("mapping: decoder %s is registered twice", name))
	}
	decoders[name] = d
}

func decoderByName(name string) (Decoder, bool) {
	decodersMu.RLock()
	defer decodersMu.RUnlock()
	d, ok := decoders[name]
	return d, ok
}

func decoderNames() []string {
	decodersMu.RLock()
	defer decodersMu.RUnlock()
	return sortedKeys(decoders)
}
