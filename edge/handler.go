package edge

import "thingbridge/edge/alwayson"

// Handler is told what the platform does. All methods are called from one
// goroutine at a time, in the order in which things happened, and never under a
// lock of the client; they must not block, and may call the client (Call, which
// waits, is the exception). done functions of Start run on the same goroutine.
type Handler interface {
	// PlatformUp and PlatformDown report the authenticated connection. session
	// counts connections from 1. err is never nil, except when Run left in order.
	PlatformUp(session uint64)
	PlatformDown(session uint64, err error)
	// BindChanged reports each change of a wanted Thing's state. reason is the
	// platform's text when it is refused, and says why when an answer did not come.
	BindChanged(name string, state alwayson.BindState, reason string)
	// Subscribed reports the platform's property subscriptions of a bound Thing,
	// which replace the former ones. It comes after BindChanged with Bound.
	Subscribed(name string, subs []alwayson.Subscription)
	// CurrentValues gives the last known values of a Thing.
	CurrentValues(name string) []alwayson.PropertyValue
	// Request hands over a request for a bound Thing. respond is to be called
	// once, from any goroutine; the client answers GATEWAY_TIMEOUT itself when
	// that does not happen within Options.AnswerLimit, and ignores a later call.
	Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response))
}
