// Package edgethings serves components that speak HTTP, as those do that were
// written for PTC's Edge MicroServer (Lua Script Resources, agents of one's own): they
// register at the pseudo-Thing LocalEms and become Things bound beside the MQTT devices.
// What the platform asks of such a Thing is forwarded to its agent over HTTP.
//
// Order: writes of properties of one Thing reach its agent one after the other, in
// the order in which the platform made them; reads and services go side by side, but
// for agents that hand out CSRF tokens, which are asked one thing at a time.
// Loss: every request is answered exactly once and within the Thing's time, which is
// below the platform's 30 s; none is sent twice, but for repetitions after a
// refusal that only hands out a CSRF token. Registrations are kept by Options.Store.
// Blocking: PlatformEvents and queries take short locks; a request waits for its
// agent on a goroutine of its own. Serve runs on its caller's goroutine and waits for
// the platform alone.
//
// # A registration's life
//
//	        AddEdgeThing             answers            2 probes fail
//	(none) --------------> waiting ----------> alive ------------------> silent
//	                                             ^--- answers, or a call does ---'
//
// Only what is alive is wanted on the platform: a Thing is bound while its agent
// answers, whatever restarted. Any HTTP answer counts, whatever its status. An agent
// that was heard within its keepalive is not asked; a call that finds nobody has the
// agent probed at once. AddEdgeThing again changes what differs and has the agent probed at
// once. A Thing without a port cannot be asked and counts as alive. RemoveEdgeThing
// forgets; so do seven days of silence, unless it was registered with persist true.
//
// # Names
//
// Options.Names has one holder for each name, without case: what an MQTT device
// has is refused here, and the other way round.
//
// # Who may be called
//
// Options.Hosts alone, by default this machine: addresses are checked when they are
// dialled, after names are resolved; redirects are not followed, a proxy is not used,
// and the bridge's own listeners (Options.Own) are refused. So an agent that may register does
// not turn the bridge into a way into the plant's network.
//
// # Bounds
//
// Options.Max registrations; Limits.Calls requests in flight, Limits.CallsPerThing
// for one Thing, 64 probes; Limits.MaxBody bytes of an answer; 8 problems a Thing.
// Beyond them requests are answered 503 and registrations refused, and counted.
//
// # Goroutines and the end
//
// Run's goroutine alone calls the Platform's Want and Unwant and starts probes; a
// request, a probe or a notice to an agent has one each, and Run returns after all of
// them. When Run's context ends, new requests are answered 503, those in flight have
// Options.StopTimeout, then they are broken off and answered 503. Unbinding is the Platform's own.
package edgethings
