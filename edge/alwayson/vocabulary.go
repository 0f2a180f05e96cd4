package alwayson

import "errors"

// This file holds the platform's words for what lies above single messages:
// bindings, subscriptions, property values, definitions and GetMetadata's answer.

// BindState is where a wanted Thing stands on the platform.
type BindState uint8

// Bind states.
const (
	Unbound BindState = iota // not bound, or the connection is down
	Binding                  // a BIND that names it is on its way
	Bound                    // the platform accepted its BIND on the present connection
	Refused                  // the platform refused it; it is retried with back-off
)

// PushType is how the platform wants one property pushed; PushFilter follows it.
type PushType uint8

// Push types. The first value is always pushed, except under NEVER.
const (
	PushValue    PushType = iota // differs from the previous value by more than the threshold
	PushAlways                   // every value
	PushNever                    // only on GET
	PushOn                       // when true (not 0, not empty)
	PushOff                      // when false, 0 or empty
	PushDeadband                 // differs from the last sent value by more than the threshold
)

// Subscription is one row of GetPropertySubscriptions or of propertyInfo.
type Subscription struct {
	EdgeName  string // the remote property name: the one that pushes use
	Push      PushType
	Threshold float64
}

// Quality texts of a property value. Any other text is passed on.
const (
	QualityGood             = "GOOD"
	QualityUnknown          = "UNKNOWN"
	QualityBad              = "BAD"
	QualityOutOfRange       = "OUT_OF_RANGE"
	QualityUnverifiedSource = "UNVERIFIED_SOURCE"
)

// PropertyValue is one row of UpdateSubscribedPropertyValues.
type PropertyValue struct {
	Name    string
	Value   Value
	Time    int64 // milliseconds since 1970-01-01T00:00:00Z
	Quality string
}

// FieldDefinition defines a service's input, an event's field or an info table's column.
type FieldDefinition struct {
	Name        string
	Description string
	Type        BaseType
	Required    bool
	DataShape   string            // name of a data shape on the platform, INFOTABLE only
	Fields      []FieldDefinition // columns, where the announcement gives them, INFOTABLE only
}

// PropertyDefinition defines a property for GetMetadata.
type PropertyDefinition struct {
	FieldDefinition
	Push      PushType
	Threshold float64
	ReadOnly  bool
	Unit      string
}

// ServiceDefinition defines a remote service for GetMetadata. Output.Type is
// TypeNothing for a service without a result.
type ServiceDefinition struct {
	Name        string
	Description string
	Inputs      []FieldDefinition
	Output      FieldDefinition
}

// EventDefinition defines an event for GetMetadata.
type EventDefinition struct {
	Name        string
	Description string
	Fields      []FieldDefinition
	DataShape   string
}

// Metadata is what GetMetadata answers for one Thing.
type Metadata struct {
	Name        string
	Description string
	Properties  []PropertyDefinition
	Services    []ServiceDefinition
	Events      []EventDefinition
}

// Errors of Platform.Start in package bridge, declared here so that edge and
// bridge share them without importing each other.
var (
	// ErrNotConnected says there is no authenticated connection.
	ErrNotConnected = errors.New("not connected to the platform")
	// ErrConnectionLost says the connection ended before the answer came; the
	// platform may or may not have acted.
	ErrConnectionLost = errors.New("connection to the platform lost before the answer")
	// ErrNoAnswer says that the time ran out.
	ErrNoAnswer = errors.New("no answer from the platform in time")
	// ErrTooLarge says that the message is over the maximum message size.
	ErrTooLarge = errors.New("message larger than the maximum message size")
	// ErrBusy says that too many requests wait for answers already.
	ErrBusy = errors.New("too many requests in flight to the platform")
)
