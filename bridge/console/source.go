package console

import (
	"context"
	"encoding/json"
	"time"

	"thingbridge/bridge"
)

// Link is one of the bridge's two connections.
type Link struct {
	Name   string `json:"name"`
	Up     bool   `json:"up"`
	Reason string `json:"reason,omitempty"` // why it is not up; never a secret
}

// Levels of a Notice and an Advice.
const (
	LevelError = "error" // something is lost or does not work
	LevelWarn  = "warn"  // something will be lost, or works in part
	LevelOK    = "ok"    // for a Notice: it went well
)

// Notice is something that happened to the bridge itself and that its user
// should see, such as the outcome of a reload of the configuration.
type Notice struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Title string    `json:"title"`
	Lines []string  `json:"lines,omitempty"` // details, one each; never a secret
}

// Settings are the configuration as it was loaded.
type Settings struct {
	File string `json:"file"` // empty: there is none
	Text string `json:"text"` // as "config print" gives it, secrets masked
}

// Sample is what the history is made of.
type Sample struct {
	bridge.Counters
	Broker, Platform bool // the connection stands
	Bound            int  // Things
	InFlight         int  // calls
	Records          int  // that wait in the outbox
	Bytes            int64
}

// Source is what the console shows; the bridge is one. What it returns as any is
// written as JSON. Its methods may be called from many goroutines at a time.
type Source interface {
	// Links tells the state of both connections. It must not block.
	Links() []Link
	// Status gives a summary of everything.
	Status() any
	// Things gives the Things that q asks for.
	Things(q bridge.Selection) bridge.Selected
	// Thing gives all about one Thing. Of a value with more than maxValue bytes of
	// JSON it gives the begin; 0 is no limit.
	Thing(name string, maxValue int) (thing any, ok bool)
	// Calls lists the calls in flight, oldest first.
	Calls() []bridge.CallInFlight
	// Settings gives the configuration.
	Settings() (Settings, error)
	// Notices gives the latest notices, newest first.
	Notices() []Notice
	// Facts gives what advice is made of.
	Facts() Facts
	// Sample gives the present sums and states. It is asked every second.
	Sample() Sample
	// Trace begins to show messages.
	Trace(f bridge.TraceFilter) *bridge.Trace
	// Call calls a service of a Thing's device, with a JSON object of inputs, and
	// gives the result. An error that is a StatusCoder says how it is answered;
	// any other is answered 500.
	Call(ctx context.Context, thing, service string, inputs json.RawMessage) (result any, err error)
}

// StatusCoder is an error that knows its HTTP status.
type StatusCoder interface {
	error
	HTTPStatus() int
}
