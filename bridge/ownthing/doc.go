// Package ownthing is how the bridge shows itself: as a Thing of its own on the
// platform, with its counters as properties and GetStatus as a service, and as a
// retained JSON object on MQTT.
//
// Order: values are pushed one push at a time, each with the newest figures.
// Loss: figures are not queued. What is not taken is pushed again with the next
// round, newer; an older figure is worth nothing then. Blocking: PlatformEvents
// take short locks; Run waits for nobody. Goroutines: Run's own alone.
//
// A Self stands in the chain of PlatformEvents: it answers for its own name and
// hands everything else on to Options.Next. The platform treats its Thing as any
// other: it asks GetMetadata, tells its subscriptions, and gets what the push
// types of its bindings let through, every Interval.
package ownthing
