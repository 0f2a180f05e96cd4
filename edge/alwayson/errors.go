package alwayson

import (
	"errors"
	"strconv"
)

// Errors of decoding and encoding, wrapped in *DecodeError and *EncodeError.
var (
	// ErrTruncated says that the message ends before what it announces.
	ErrTruncated = errors.New("message ends too early")
	// ErrTooDeep says that values are nested deeper than the limit.
	ErrTooDeep = errors.New("nested too deeply")
	// ErrTooMany says that there are more fields, rows or cells than the limit.
	ErrTooMany = errors.New("over the limit")
	// ErrBadType says that a base type is unknown, unsupported (TIMESPAN,
	// SCHEDULE) or not possible in its place.
	ErrBadType = errors.New("base type not supported here")
	// ErrBadCount says that something to encode has more parts, or a longer
	// text, than its length field can say.
	ErrBadCount = errors.New("does not fit its length field")
	// ErrLongRow says that a row to encode has more cells than its table has fields.
	ErrLongRow = errors.New("row has more cells than the table has fields")
	// ErrBadBody says that a message to encode has a body of another kind than its code.
	ErrBadBody = errors.New("body does not belong to the message's code")
	// ErrBadChunk says that a chunk of a multipart message is not possible: too
	// short, number 0 or above the count, or at odds with its message's other chunks.
	ErrBadChunk = errors.New("chunk not possible")
	// ErrPending says that too many incomplete multipart messages wait already.
	ErrPending = errors.New("too many incomplete messages")
	// ErrNoColumn says that a table lacks a column without which it means nothing.
	ErrNoColumn = errors.New("no such column")
)

func (e *DecodeError) Error() string {
	return "decode " + e.What + " at byte " + strconv.Itoa(e.Offset) + ": " + e.Err.Error()
}

// Unwrap returns the sentinel error.
func (e *DecodeError) Unwrap() error { return e.Err }

// EncodeError says what of a message could not be encoded, and why.
type EncodeError struct {
	What string // `field "a"`, `row 3 of 4 fields`, …
	Err  error  // one of the sentinel errors
}

func (e *EncodeError) Error() string { return "encode " + e.What + ": " + e.Err.Error() }

// Unwrap returns the sentinel error.
func (e *EncodeError) Unwrap() error { return e.Err }
