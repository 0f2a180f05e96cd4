// Package edge keeps one AlwaysOn connection to the platform, binds Things over
// it and carries requests both ways.
//
// # Order
//
// Everything the Handler is told, and every done function of Start, runs on one
// goroutine at a time, in the order in which it happened: PlatformUp, then the
// changes of bindings, each Thing's Subscribed after its Bound, requests in the
// order of their arrival, and at the end of a connection the Unbound of every
// Thing, the failed calls, PlatformDown. Requests to the platform are written in
// the order of Start. Answers overtake requests, and control frames overtake
// both; a large message is interleaved with what came later, chunk by chunk.
//
// # Loss
//
// Every GET, PUT, POST and DELETE of the platform is answered exactly once while
// the connection stands: by the handler, or by the client itself with
// SERVICE_UNAVAILABLE (too many, or stopping), NOT_FOUND (no Thing bound here),
// BAD_REQUEST (cannot be decoded), ENTITY_TOO_LARGE, NOT_IMPLEMENTED (file
// transfer, tunnels) or, after Options.AnswerLimit, GATEWAY_TIMEOUT. Answers are
// never dropped for want of room. Every Start ends in exactly one done. Nothing
// is sent twice by this package: what was in flight when a connection ended is
// reported with ErrConnectionLost, since the platform may have acted on it. A
// message that cannot be decoded costs only itself.
//
// # Blocking
//
// Only Run and Call wait. Start refuses with ErrBusy when Options.MaxCalls are in
// flight or Options.QueueBytes wait to be written. The reader never waits for the
// handler; it waits for the writer when the answers that it made itself fill their room,
// and the write time-out bounds that.
//
// # A client's life
//
//	idle --Run--> connecting --101--> authenticating --SUCCESS--> connected
//	connecting      --error, HTTP status-->     waiting (ConnectBackoff; 401, 403: KeyBackoff)
//	authenticating  --refused-->                waiting (KeyBackoff)
//	authenticating  --no answer, lost-->        waiting (ConnectBackoff)
//	connected       --first error, Reconnect--> waiting (ConnectBackoff)
//	waiting         --time-->                   connecting
//	connected       --ctx ends-->               leaving --> ended
//	idle, connecting, authenticating, waiting --ctx ends--> ended
//
// These are all the moves. The wait grows from failure to failure and starts
// anew only after a connection that stood for Options.HealthyAfter. The key, the
// TLS configuration and the proxy are asked for at each attempt. A session is
// one connection: it dies of its first error, which sticks as its cause, and
// nothing in it reconnects. Request ids go on over all sessions, so an answer
// cannot end the wrong call.
//
// # A Thing's life
//
// The Things that are wanted and those that are bound are two sets. Want and
// Unwant change only the first; the binder closes the gap.
//
//	Unbound --BIND sent--> Binding --SUCCESS--> Bound
//	Binding --refused--> Refused --back-off, Rebind--> Binding
//	Binding --no answer--> Unbound --back-off, Rebind--> Binding
//	Bound   --Rebind, created after its BIND--> Binding
//	any     --connection ends--> Unbound
//
// Requests for a Thing are served from the moment its BIND is sent until that is
// refused, or its UNBIND is answered; an unanswered BIND may have been carried out.
// BIND and UNBIND are sent one at a time, many names in each, so their order for a name is that of
// the intent. A BIND's answer is one code for all its names. When a batch is
// refused the binder binds its halves; where one half is accepted it goes on in
// the other, so that one bad name among 1000 costs about 20 BINDs and the others
// nothing. When both halves are refused it stops (a crashed predecessor's
// connection may still hold all names), does not take further batches apart, and
// tries all again after the back-off. In such a retry, smaller and smaller
// random samples look for names that are accepted; if one is, the batch is taken
// apart for good, within a budget of BINDs per round.
//
// After SUCCESS the platform has Options.SyncWait to begin the synchronisation,
// with NotifyPropertyUpdate (answered at once; GetPropertySubscriptions is asked
// then) or SynchronizeModelState (which brings the subscriptions). Otherwise the
// client asks unbidden. Failed questions are repeated with back-off. Where one failed with
// NOT_FOUND and a later one succeeds, and the platform has not begun by itself, the Thing
// was created after its BIND and is bound once more: the old BIND is nobody's.
//
// # Goroutines
//
//	Run          the caller's: connects, waits, leaves
//	binder       one per session, started and awaited by Run
//	reader       one per session: decodes, ends calls, hands requests over
//	writer       one per session: the only one that writes messages; gathers what
//	             waits into few system calls, and flushes when nothing waits
//	clock        one per session: pings, time-outs of calls and of requests,
//	             repetitions; one heap, no goroutine or runtime timer per call
//	handler's    one at a time, only while there is something to tell
//
// None is started before Run, except the handler's for a Start that comes too
// early or too late, and Run returns after all have ended.
//
// # Leaving
//
// When Run's context ends: new requests of the platform are answered
// SERVICE_UNAVAILABLE; the binder stops; everything bound is unbound (at most Options.LeaveTimeout); requests
// still being served are answered SERVICE_UNAVAILABLE; CLOSE 1000 is sent behind
// all that waits, and the platform's CLOSE awaited for two seconds; the
// goroutines end; calls in flight fail; PlatformDown with a nil error is the last
// thing the handler is told.
package edge
