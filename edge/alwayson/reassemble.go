package alwayson

import (
	"encoding/binary"
	"math"
	"time"
)

// failureSpan is how close together the halves of a cut request come.
const failureSpan = 5 * time.Second

// Defaults of ReassemblerOptions.
const (
	DefaultMaxMessage = 1 << 20
	DefaultMaxPending = 8 << 20
	DefaultMaxSets    = 64
	DefaultTimeout    = 50 * time.Second
)

// ReassemblerOptions bound a Reassembler. A zero field means its default.
type ReassemblerOptions struct {
	MaxMessage int           // bytes of one message, both as claimed (count × size) and as received; default 1 MiB
	MaxPending int           // bytes kept over all incomplete messages; default 8 MiB
	MaxSets    int           // incomplete messages; default 64
	Timeout    time.Duration // an incomplete message is dropped so long after its first chunk; default 50 s
}

// Assembled is what Add makes of a WebSocket message. With Done, Body is a
// whole body for ParseBody; it may be part of the slice given to Add, or memory
// of its own that the Reassembler keeps no more. Without Done there is nothing to do yet.
type Assembled struct {
	Header Header
	Body   []byte
	Done   bool
}

// Reassembler joins the chunks of multipart messages, in any order and
// interleaved. It belongs to one connection and is not safe for concurrent use.
type Reassembler struct {
	opts    ReassemblerOptions
	sets    map[setKey]*chunkSet
	pending int
	past    pastSets
	failed  pastSets
}

// setKey tells messages apart: the two directions have separate id spaces (rule H1).
type setKey struct {
	status bool
	id     uint32
}

func keyOf(h Header) setKey { return setKey{h.Code.IsStatus(), h.RequestID} }

// chunkSet is one incomplete message. The chunks that came in order are joined
// in body; early holds copies of those that came before their turn.
type chunkSet struct {
	header Header
	first  time.Time
	count  int
	size   int
	next   int // number of the chunk that body waits for
	body   []byte
	early  map[int][]byte
	bytes  int  // of the body received so far
	chunks int  // received so far
	cost   int  // counted against MaxPending
	repeat bool // a message of this id ended shortly before: perhaps only its duplicates
}

// Overheads counted against MaxPending beside the bytes themselves.
const (
	setCost   = 256
	earlyCost = 96
)

// NewReassembler returns an empty Reassembler.
func NewReassembler(o ReassemblerOptions) *Reassembler {
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.MaxPending <= 0 {
		o.MaxPending = DefaultMaxPending
	}
	if o.MaxSets <= 0 {
		o.MaxSets = DefaultMaxSets
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Reassembler{opts: o, sets: make(map[setKey]*chunkSet)}
}

// chunk is one decoded chunk.
type chunk struct {
	number, count, size int
	share               []byte
}

// Add takes one WebSocket message, whole or a chunk. A whole message is handed
// back at once. b may be reused after the call, except where it is handed back.
//
// An error ends one message and is returned once for it (rule M6); its other
// chunks are swallowed. Header is then valid, unless the message is shorter than a header,
// so that a request can be answered: ErrTooLarge with ENTITY_TOO_LARGE, ErrPending with
// SERVICE_UNAVAILABLE, any other with BAD_REQUEST.
func (r *Reassembler) Add(now time.Time, b []byte) (Assembled, error) {
	h, multipart, err := ParseHeader(b)
	if err != nil {
		return Assembled{}, err
	}
	if !multipart {
		if len(b)-headerSize > r.opts.MaxMessage {
			return Assembled{Header: h}, &DecodeError{Offset: headerSize, What: "message", Err: ErrTooLarge}
		}
		return Assembled{Header: h, Body: b[headerSize:], Done: true}, nil
	}
	return r.addChunk(now, h, b)
}

func (r *Reassembler) addChunk(now time.Time, h Header, b []byte) (Assembled, error) {
	key := keyOf(h)
	s := r.sets[key]
	c, err := parseChunk(h, b)
	switch {
	case err != nil && s != nil:
		return r.refuse(now, h, s.count, err)
	case err != nil:
		return r.refuse(now, h, c.count, err)
	case s == nil && r.past.swallow(now, key, c.count):
		return Assembled{Header: h}, nil
	case s == nil:
		s, err = r.open(now, key, h, c)
	case s.header.Code != h.Code || s.count != c.count:
		err = &DecodeError{Offset: headerSize, What: "chunk of another message", Err: ErrBadChunk}
	}
	if err == nil {
		err = r.put(s, c)
	}
	if err != nil {
		return r.refuse(now, h, c.count, err)
	}
	if s.next <= s.count {
		return Assembled{Header: s.header}, nil
	}
	r.drop(key)
	r.past.add(pastSet{key: key, until: now.Add(r.opts.Timeout), done: true})
	return Assembled{Header: s.header, Body: s.body, Done: true}, nil
}

// parseChunk decodes a chunk's own header. On an error the count is valid where it is not 0.
func parseChunk(h Header, b []byte) (chunk, error) {
	if len(b) < chunkHeaderSize {
		return chunk{}, &DecodeError{Offset: len(b), What: "multipart header", Err: ErrBadChunk}
	}
	c := chunk{
		number: int(binary.BigEndian.Uint16(b[headerSize:])),
		count:  int(binary.BigEndian.Uint16(b[headerSize+2:])),
		size:   int(binary.BigEndian.Uint16(b[headerSize+4:])),
		share:  b[chunkHeaderSize:],
	}
	if c.number == 0 || c.number > c.count {
		return c, &DecodeError{Offset: headerSize, What: "chunk number", Err: ErrBadChunk}
	}
	if c.number > 1 { // M2
		prefix, err := chunkPrefix(h, c.share, chunkHeaderSize)
		if err != nil {
			return c, &DecodeError{Offset: chunkHeaderSize, What: "entity of a chunk", Err: ErrBadChunk}
		}
		c.share = c.share[len(prefix):]
	}
	return c, nil
}

func (r *Reassembler) open(now time.Time, key setKey, h Header, c chunk) (*chunkSet, error) {
	if c.count*c.size > r.opts.MaxMessage { // M4
		return nil, &DecodeError{Offset: headerSize + 2, What: "chunk count and size", Err: ErrTooLarge}
	}
	if len(r.sets) >= r.opts.MaxSets || r.pending+setCost > r.opts.MaxPending {
		return nil, &DecodeError{Offset: headerSize, What: "chunk", Err: ErrPending}
	}
	s := &chunkSet{header: h, first: now, count: c.count, size: c.size, next: 1, cost: setCost, repeat: r.past.ended(now, key)}
	r.sets[key] = s
	r.pending += s.cost
	return s, nil
}

// put adds a chunk's share, in its turn or early (rule M3). A duplicate changes
// nothing, whatever it holds.
func (r *Reassembler) put(s *chunkSet, c chunk) error {
	if _, have := s.early[c.number]; have || c.number < s.next {
		return nil
	}
	if s.bytes+len(c.share) > r.opts.MaxMessage { // M4
		return &DecodeError{Offset: chunkHeaderSize, What: "message", Err: ErrTooLarge}
	}
	cost := len(c.share)
	if c.number > s.next {
		cost += earlyCost
	}
	if r.pending+cost > r.opts.MaxPending {
		return &DecodeError{Offset: chunkHeaderSize, What: "chunk", Err: ErrPending}
	}
	s.bytes += len(c.share)
	s.chunks++
	s.cost += cost
	r.pending += cost
	if c.number > s.next {
		if s.early == nil {
			s.early = make(map[int][]byte)
		}
		s.early[c.number] = append([]byte(nil), c.share...)
		return nil
	}
	s.body = append(s.body, c.share...)
	s.next++
	for {
		share, have := s.early[s.next]
		if !have {
			return nil
		}
		s.body = append(s.body, share...)
		delete(s.early, s.next)
		s.next++
	}
}

// drop forgets an incomplete message and returns how many of its chunks had come.
func (r *Reassembler) drop(key setKey) int {
	s := r.sets[key]
	if s == nil {
		return 0
	}
	r.pending -= s.cost
	delete(r.sets, key)
	return s.chunks
}

// refuse ends a message; count is its number of chunks, 0 when not known.
func (r *Reassembler) refuse(now time.Time, h Header, count int, err error) (Assembled, error) {
	key := keyOf(h)
	if known := r.past.find(key); r.sets[key] == nil && known != nil && r.past.swallow(now, key, known.count) {
		return Assembled{Header: h}, nil
	}
	r.end(now, key, count, 1)
	return Assembled{Header: h}, err
}

// end drops a message that will not be complete and remembers it; extra is how
// many of its chunks have come that its set does not count.
func (r *Reassembler) end(now time.Time, key setKey, count, extra int) {
	left := max(0, count-r.drop(key)-extra)
	if count == 0 {
		left = math.MaxUint16
	}
	r.past.add(pastSet{key: key, until: now.Add(r.opts.Timeout), count: count, left: left})
}

// FirstFailure reports whether h belongs to the first whole message of its id
// lately that could not be decoded, and remembers it. Only the first is to be
// answered: PTC's client cuts some requests in two messages, both undecodable,
// that are one request.
func (r *Reassembler) FirstFailure(now time.Time, h Header) bool {
	key := keyOf(h)
	if p := r.failed.find(key); p != nil && now.Before(p.until) {
		return false
	}
	r.failed.add(pastSet{key: key, until: now.Add(failureSpan)})
	return true
}

// Expire drops the messages that are still incomplete after the timeout (rule M5) and
// returns their headers, so that requests can be answered. Call it every second
// or so while Pending reports any. What may be mere duplicates of a message that
// ended shortly before, and so had its answer, is dropped silently.
func (r *Reassembler) Expire(now time.Time) []Header {
	var dropped []Header
	for key, s := range r.sets {
		if now.Sub(s.first) < r.opts.Timeout {
			continue
		}
		r.end(now, key, s.count, 0)
		if !s.repeat {
			dropped = append(dropped, s.header)
		}
	}
	return dropped
}

// Pending returns the number of incomplete messages and the bytes they are
// counted with.
func (r *Reassembler) Pending() (sets, bytes int) { return len(r.sets), r.pending }
