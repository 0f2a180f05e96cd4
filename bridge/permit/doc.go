// Package permit says what is let through: names by patterns, and requests to
// the platform's REST by rules. It is pure: no I/O, no goroutine.
//
// Order: does not matter; a request is let through if any rule lets it. Loss: a
// rule that cannot be read is an error, never a rule that lets through more or
// nothing. Blocking: none, and the time is bounded by the lengths of pattern and name.
package permit
