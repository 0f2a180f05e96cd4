package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"thingbridge/bridge"
)

// On disk a record is a key of 8 bytes, its sequence number big-endian, and
//
//	crc     4 bytes  CRC-32C of the key and all that follows
//	time    8 bytes  milliseconds, big-endian two's complement
//	thing   uvarint length, bytes
//	key     uvarint length, bytes
//	data    the rest

const recordHeader = 4 + 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errShort    = errors.New("record ends too early")
	errChecksum = errors.New("checksum does not match")
)

func seqKey(seq uint64) [8]byte {
	var k [8]byte
	binary.BigEndian.PutUint64(k[:], seq)
	return k
}

func checksum(seq uint64, body []byte) uint32 {
	k := seqKey(seq)
	return crc32.Update(crc32.Checksum(k[:], castagnoli), castagnoli, body)
}

// appendRecord appends r's value as the file has it.
func appendRecord(dst []byte, r *bridge.Record) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Time))
	dst = binary.AppendUvarint(dst, uint64(len(r.Thing)))
	dst = append(dst, r.Thing...)
	dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
	dst = append(dst, r.Key...)
	dst = append(dst, r.Data...)
	binary.BigEndian.PutUint32(dst[start:], checksum(r.Seq, dst[start+4:]))
	return dst
}

// encodedLen is an upper bound of what appendRecord appends.
func encodedLen(r *bridge.Record) int {
	return recordHeader + 2*binary.MaxVarintLen32 + len(r.Thing) + len(r.Key) + len(r.Data)
}

// parseRecord reads a record as the file has it. Data is a part of b.
func parseRecord(key, b []byte) (bridge.Record, error) {
	if len(key) != 8 {
		return bridge.Record{}, fmt.Errorf("record key of %d bytes; expected 8", len(key))
	}
	r := bridge.Record{Seq: binary.BigEndian.Uint64(key)}
	fail := func(err error) (bridge.Record, error) {
		return bridge.Record{}, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	if len(b) < recordHeader {
		return fail(errShort)
	}
	if checksum(r.Seq, b[4:]) != binary.BigEndian.Uint32(b) {
		return fail(errChecksum)
	}
	r.Time = int64(binary.BigEndian.Uint64(b[4:]))
	thing, rest, err := cutText(b[recordHeader:])
	if err != nil {
		return fail(err)
	}
	name, rest, err := cutText(rest)
	if err != nil {
		return fail(err)
	}
	r.Thing, r.Key, r.Data = string(thing), string(name), rest
	return r, nil
}

func cutText(b []byte) (text, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errShort
	}
	end := w + int(n)
	return b[w:end], b[end:], nil
}
