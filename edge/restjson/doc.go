// Package restjson is the platform's REST in pure functions: which entity a path
// names, which request an HTTP request is, how JSON becomes values of base types
// and a response becomes JSON. The simulated platform serves REST with it, the
// bridge forwards REST with it, and both so give the same answers.
//
// Order: columns keep the order of their ordinals, parameters that are not
// declared are sorted by name. Loss: a number outside the range of its type does not
// fit and is refused; a fraction is cut where the type is whole; a NUMBER keeps 53
// bits; NaN and infinity, which JSON cannot write, become null. Blocking: only ReadBody reads and only
// Answer writes. Nothing is kept, and no goroutine is started.
//
// # From JSON
//
// What is declared is read as declared. What is not is read by its looks:
//
//	number                                NUMBER, also a whole one
//	text                                  STRING
//	true, false                           BOOLEAN
//	{"latitude", "longitude"[, "elevation"]}  LOCATION
//	{"dataShape", "rows"}                 INFOTABLE, its columns as dataShape has them
//	a list of objects, not empty          INFOTABLE, its columns by their looks
//	any other object or list              JSON
//	{"baseType", "value"}                 what baseType says
//	null                                  no value
//
// A declared type takes more than its own form: numbers and times also as text, a
// DATETIME as milliseconds or RFC 3339, a LOCATION as "latitude,longitude", IMAGE and
// BLOB as base64, a text type anything.
//
// # To JSON
//
// DATETIME as milliseconds, IMAGE and BLOB as base64, LOCATION as an object,
// INFOTABLE as {dataShape, rows}, JSON as it is, no value as null.
package restjson
