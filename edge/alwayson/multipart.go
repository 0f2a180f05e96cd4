package alwayson

import (
	"encoding/binary"
	"math"
	"strconv"
)

const (
	chunkHeaderSize = headerSize + 6
	// MinChunkSize and MaxChunkSize bound the chunk size that Chunks accepts.
	// MinChunkSize leaves room for a request's entity name of the usual 255 bytes.
	MinChunkSize = 512
	MaxChunkSize = math.MaxUint16
)

// chunkShare is how many bytes of the body one chunk carries; prefix is the
// length of a request's entity type and name, 0 for other messages (rule M1).
func chunkShare(chunkSize, prefix int) int { return chunkSize - chunkHeaderSize - prefix }

// MaxBody is the largest body in bytes that can be sent in chunks of chunkSize
// to a peer that takes count × size up to maxMessage; entity is the request's
// entity name, "" for a message that is not a request. It returns 0 when not
// even a header fits a chunk.
func MaxBody(entity string, chunkSize, maxMessage int) int {
	if chunkSize <= chunkHeaderSize {
		return 0
	}
	prefix := 0
	if entity != "" {
		prefix = 1 + textSize(entity)
	}
	chunks := min(maxMessage/chunkSize, math.MaxUint16)
	if chunks < 2 {
		return max(0, min(chunkSize, maxMessage)-chunkHeaderSize)
	}
	return max(0, chunks*chunkShare(chunkSize, prefix))
}

// Chunks appends to dst the WebSocket messages that carry the whole message m:
// m itself when it fits one chunk, else its chunks, each at most chunkSize bytes
// and all in one block of memory of their own. A message that needs more than
// 65,535 chunks is refused with ErrTooLarge, a chunk size that is out of range or
// too small for the request's entity name with ErrBadCount.
func Chunks(dst [][]byte, m []byte, chunkSize int) ([][]byte, error) {
	if chunkSize < MinChunkSize || chunkSize > MaxChunkSize {
		return dst, &EncodeError{What: "chunks of " + strconv.Itoa(chunkSize) + " bytes", Err: ErrBadCount}
	}
	h, _, err := ParseHeader(m)
	if err != nil {
		return dst, err
	}
	body := m[headerSize:]
	if len(body)+chunkHeaderSize <= chunkSize {
		return append(dst, m), nil
	}
	prefix, err := chunkPrefix(h, body, headerSize)
	if err != nil {
		return dst, err
	}
	share := chunkShare(chunkSize, len(prefix))
	if share <= 0 {
		return dst, &EncodeError{What: "entity name for chunks of " + strconv.Itoa(chunkSize) + " bytes", Err: ErrBadCount}
	}
	n := (len(body) + share - 1) / share
	if n > math.MaxUint16 {
		return dst, &EncodeError{What: "message of " + strconv.Itoa(len(m)) + " bytes", Err: ErrTooLarge}
	}
	block := make([]byte, 0, len(body)+n*(chunkHeaderSize+len(prefix)))
	for i := range n {
		from := len(block)
		block = append(block, m[:headerSize-1]...)
		block = append(block, 1)
		block = binary.BigEndian.AppendUint16(block, uint16(i+1))
		block = binary.BigEndian.AppendUint16(block, uint16(n))
		block = binary.BigEndian.AppendUint16(block, uint16(chunkSize))
		if i > 0 { // in the first chunk the body starts with it
			block = append(block, prefix...)
		}
		block = append(block, body[i*share:min((i+1)*share, len(body))]...)
		dst = append(dst, block[from:len(block):len(block)])
	}
	return dst, nil
}

// chunkPrefix returns the entity type and name that every chunk of a request
// starts with; nothing for other messages.
func chunkPrefix(h Header, b []byte, base int) ([]byte, error) {
	if !h.Code.IsRequest() {
		return nil, nil
	}
	d := newDecoder(b, base, Limits{})
	d.u8("entity type")
	if n := d.textLength("entity name"); d.need(n, "entity name") {
		d.off += n
	}
	return b[:d.off], d.err
}
