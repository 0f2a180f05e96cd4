// Package hass reads the announcements of Home Assistant's MQTT discovery, for
// the presets homeassistant and esphome: it holds their decoders and the
// translation of the templates that such announcements carry.
//
// # Order, loss, blocking
//
// A decoder is a pure function of one announcement: it keeps no state, starts no
// goroutine, does no I/O and never blocks, so that order is the Engine's matter.
// Nothing is lost silently: what cannot be taken over is in Fragment.Skipped, with
// the key and the reason.
//
// # From an announcement to a fragment
//
// config.go expands the short keys and the base topic; decoder.go finds the device
// and its components; component.go has what all platforms need (a topic, a
// template, where a value comes from and goes to); platforms.go names the function
// of each platform, and the platform files say what becomes of it.
//
// # Templates
//
// template.go reads the subset of Jinja that can be said exactly in our expressions,
// translate.go says it. Everything else is an error that names what is not known;
// nothing is guessed. What Python and our expressions do differently (text of
// numbers and truth values, truncation, rounding, what counts as true) is in
// functions.go: functions whose names begin with jinja, which expressions may call.
// A template whose value is missing has no value, where Jinja would yield empty text.
package hass
