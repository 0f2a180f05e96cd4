// Package alwayson is the AlwaysOn wire protocol: values, info tables,
// messages and multipart, and the platform's words above them.
//
// Order: messages are independent; a Reassembler gives each multipart message
// when its last chunk has come. Loss: nothing is dropped silently but duplicates
// of chunks and the further chunks of a message that was refused. Nothing here blocks, does I/O, or
// starts a goroutine.
package alwayson
