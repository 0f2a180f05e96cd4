// Package alwayson is the AlwaysOn wire protocol: values, info tables,
// messages and multipart, and the platform's words above them.
//
// Order: messages are independent; a Reassembler hands over a multipart message
// with its last chunk, in whatever order the chunks came. Loss: only duplicates
// of chunks, and the further chunks of a message that was refused with an error,
// are dropped silently. Blocking: nothing here blocks, does I/O, reads a clock
// or starts a goroutine. Ownership: functions and immutable Values may be used
// from any goroutine; a Reassembler and a PushFilter belong to one. What is
// decoded never refers to the input, except the Body of a whole message that
// Reassembler.Add hands back.
//
// # Messages
//
// Integers are big-endian. "text" is a string: its length in one byte below
// 128, else in four with the top bit of the first set, then UTF-8.
//
//	 0      1      2            6             10           14     15
//	+------+------+------------+-------------+------------+------+------…
//	| 0x01 | code | request id | endpoint id | session id | mp   | body
//	+------+------+------------+-------------+------------+------+------…
//
//	AUTH      claims:1  { name:text value:text }
//	BIND      gateway:1 [ name:text type:text ]  names:2  { name:text }
//	request   entity type:1  entity:text  characteristic:1  name:text
//	          headers:1 { name:text value:text }  params: 0xFF | 0x05 table
//	response  marker:1 [ reason:text ]  content: 0xFF | 0x05 table | primitive
//	primitive base type:1  value
//	table     { 0x01 name:text description:text base type:1
//	            aspects:2 { name:text primitive } }  0x00
//	          { 0x01 cells:2 { primitive } }  0x00
//
//	chunk (mp = 1), of a message of more than chunk size - 6 bytes:
//	+----------- 15 -----------+-----------+----------+---------+---------------+-------
//	| header, repeated         | number: 2 | count: 2 | size: 2 | entity, in a  | share
//	|                          | from 1    |          | setting | request: n>1  |
//	+--------------------------+-----------+----------+---------+---------------+-------
//
// # Rules
//
// The comments in the code name the rule that they implement.
//
//	H1  A response is told from a request by code >= 0x40; the directions have separate ids.
//	H2  The version byte is written 1 and not checked.
//	T1  A length of four bytes below 128 is read, never written.
//	T2  Text that is not UTF-8 survives byte for byte.
//	V1  A BOOLEAN that is neither 0 nor 1 is true.
//	V2  TIMESPAN, SCHEDULE and unknown types of a primitive are refused; in a field's
//	    definition any number is kept, but TIMESPAN and SCHEDULE are not written there either.
//	I1  Any marker but 0 counts as 1.
//	I2  Cells that a row lacks read as NOTHING and are not built; they are written out.
//	I3  Cells that a row has beyond its fields are read and dropped.
//	I4  Nesting and the number of fields, rows and cells are bounded; see Limits.
//	B1  Bytes behind the end of a body are counted and ignored.
//	B2  A request that ends where its parameters' type byte should stand has none.
//	B3  Request headers are read and never written.
//	B4  An AUTH whose last value ends early keeps it as a prefix (Auth.Cut).
//	B5  A response that ends with its header has no Body and is to be ignored.
//	B6  Content that is not a table is decoded as the primitive it is.
//	M1  A message goes whole if 21 + body <= chunk size, else by equal shares of the
//	    chunk size less 21, in a request less its entity type and name too, in all its chunks.
//	M2  The entity in the later chunks of a request is extra and dropped.
//	M3  Chunks come in any order, interleaved, and twice; the last may be empty.
//	M4  count × size and the bytes really received are held to the maximum, each.
//	M5  An incomplete message ends 50 s after its first chunk.
//	M6  A message is refused once, so that a request is answered once.
//	P1  The first value is always pushed, except under NEVER.
//	P2  A threshold counts for NUMBER, INTEGER and LONG only.
//	P3  A push carries no nulls.
//	G1  Inputs, fieldDefinitions, EventData and aspects are always present in GetMetadata's answer.
//
// # Limits and memory
//
// A length is checked against the bytes that are there before anything is
// allocated for it. Decoding a message of n bytes allocates at most 48·n bytes in
// all, whatever it claims (measured on hostile messages: 34·n at most),
// and stops at 16 levels, 10,000 fields, 200,000 rows (nested tables count as
// rows) and 500,000 cells and aspects. Short texts share copies of the input of at most 4 KiB,
// so that a text that is kept keeps no more than that alive.
//
// A Reassembler counts what it holds, with an allowance for each message and
// each early chunk, against ReassemblerOptions.MaxPending; its memory is within
// three times that, whatever the chunks claim. It remembers 256 ended messages.
//
// Encoding appends to the caller's slice and allocates only when that is full.
// It fills up at most 500,000 cells that rows of a table lack.
// A Value is 40 bytes, a PushFilter 32.
package alwayson
