package alwayson

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

var epoch = time.UnixMilli(1577836800000)

// rawChunk builds a chunk with any multipart header, without an entity.
func rawChunk(c Code, id uint32, number, count, size int, share string) []byte {
	b := []byte{1, byte(c)}
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, 0, 0, 0, 0, 1, 2, 3, 4, 1)
	for _, n := range []int{number, count, size} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return append(b, share...)
}

func message(t testing.TB, code Code, id uint32, b Body) []byte {
	t.Helper()
	out, err := Append(nil, &Message{Header: Header{Code: code, RequestID: id, SessionID: 7}, Body: b})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func chunksOf(t testing.TB, m []byte, size int) [][]byte {
	t.Helper()
	chunks, err := Chunks(nil, m, size)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

func echo(entity string, n int) *Request {
	return ServiceRequest(EntityThing, entity, "Echo", OneRow(Named{"in", NewString(strings.Repeat("0123456789", n/10))}))
}

func TestChunksOfSeveralMessagesInAnyOrderAndTwice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		want := make(map[setKey][]byte)
		var all [][]byte
		for id := range uint32(4) {
			for _, m := range [][]byte{
				message(t, Post, id+1, echo("Thing"+strings.Repeat("x", int(id)*50), 3000+round*100)),
				message(t, Success, id+1, OK(NewTable(NewResult(NewString(strings.Repeat("r", 5000+round)))))),
			} {
				h, _, _ := ParseHeader(m)
				want[keyOf(h)] = m[headerSize:]
				all = append(all, chunksOf(t, m, 600)...)
			}
		}
		for range 20 {
			all = append(all, all[rnd.IntN(len(all))])
		}
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		r := NewReassembler(ReassemblerOptions{})
		for _, c := range all {
			buffer := bytes.Clone(c)
			got, err := r.Add(epoch, buffer)
			if err != nil {
				t.Fatal(err)
			}
			clear(buffer) // the caller reuses it
			if !got.Done {
				continue
			}
			if !bytes.Equal(got.Body, want[keyOf(got.Header)]) {
				t.Fatalf("body of %v differs", got.Header)
			}
			delete(want, keyOf(got.Header))
		}
		if len(want) != 0 {
			t.Fatalf("%d messages missing", len(want))
		}
		if dropped := r.Expire(epoch.Add(time.Minute)); len(dropped) != 0 {
			t.Fatalf("duplicates of complete messages reported as dropped: %v", dropped)
		}
		if sets, n := r.Pending(); sets != 0 || n != 0 {
			t.Fatalf("%d sets, %d bytes left", sets, n)
		}
	}
}

func TestRefusedChunks(t *testing.T) {
	cases := []struct {
		name   string
		chunks [][]byte
		want   error // of the last chunk
	}{
		{"number 0", [][]byte{rawChunk(Success, 1, 0, 2, 100, "a")}, ErrBadChunk},
		{"number above the count", [][]byte{rawChunk(Success, 1, 3, 2, 100, "a")}, ErrBadChunk},
		{"count 0", [][]byte{rawChunk(Success, 1, 1, 0, 100, "a")}, ErrBadChunk},
		{"no multipart header", [][]byte{rawChunk(Success, 1, 1, 2, 100, "")[:18]}, ErrBadChunk},
		{"later chunk of a request without its entity", [][]byte{rawChunk(Post, 1, 2, 2, 100, "\x0a\x20short")}, ErrBadChunk},
		{"count differs from the first chunk", [][]byte{rawChunk(Success, 1, 1, 3, 100, "a"), rawChunk(Success, 1, 2, 4, 100, "a")}, ErrBadChunk},
		{"code differs from the first chunk", [][]byte{rawChunk(Success, 1, 1, 3, 100, "a"), rawChunk(NotFound, 1, 2, 3, 100, "a")}, ErrBadChunk},
		{"65,535 chunks of 65,535 bytes", [][]byte{rawChunk(Post, 1, 1, 65535, 65535, "a")}, ErrTooLarge},
		{"count × size one above the maximum", [][]byte{rawChunk(Post, 1, 1, 3, 334, "a")}, ErrTooLarge},
		{"more bytes than count × size says", [][]byte{
			rawChunk(Success, 1, 1, 3, 0, strings.Repeat("a", 600)), rawChunk(Success, 1, 2, 3, 0, strings.Repeat("a", 600)),
		}, ErrTooLarge},
		{"whole message above the maximum", [][]byte{message(t, Success, 1, OK(NewString(strings.Repeat("a", 1000))))}, ErrTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := NewReassembler(ReassemblerOptions{MaxMessage: 1000})
			for i, b := range c.chunks {
				got, err := r.Add(epoch, b)
				if last := i == len(c.chunks)-1; last != (err != nil) || last && !errors.Is(err, c.want) {
					t.Fatalf("chunk %d: err %v, want %v", i, err, c.want)
				}
				if got.Done || got.Header.RequestID != 1 {
					t.Errorf("got %+v", got)
				}
			}
			if sets, n := r.Pending(); sets != 0 || n != 0 {
				t.Errorf("%d sets, %d bytes kept", sets, n)
			}
		})
	}
}

func TestEachRefusedMessageIsReportedOnce(t *testing.T) {
	r := NewReassembler(ReassemblerOptions{MaxMessage: 10000})
	chunks := chunksOf(t, message(t, Post, 5, echo("Thing1", 20000)), 1000)
	errs := 0
	for _, c := range chunks {
		if _, err := r.Add(epoch, c); err != nil {
			errs++
		}
	}
	if errs != 1 {
		t.Errorf("%d errors for %d chunks of one message, want 1", errs, len(chunks))
	}
	if dropped := r.Expire(epoch.Add(time.Hour)); len(dropped) != 0 {
		t.Errorf("dropped again: %v", dropped)
	}
	fresh := chunksOf(t, message(t, Post, 5, echo("Thing1", 5000)), 1000)
	var done bool
	for _, c := range fresh {
		got, err := r.Add(epoch.Add(time.Second), c)
		if err != nil {
			t.Fatal(err)
		}
		done = done || got.Done
	}
	if !done {
		t.Error("a later message of the same id was swallowed")
	}
}

func TestIncompleteMessagesExpireOnce(t *testing.T) {
	r := NewReassembler(ReassemblerOptions{})
	chunks := chunksOf(t, message(t, Post, 9, echo("Thing1", 20000)), 8192)
	for _, c := range chunks[:2] {
		if _, err := r.Add(epoch, c); err != nil {
			t.Fatal(err)
		}
	}
	if dropped := r.Expire(epoch.Add(DefaultTimeout - 1)); len(dropped) != 0 {
		t.Fatalf("dropped before the timeout: %v", dropped)
	}
	dropped := r.Expire(epoch.Add(DefaultTimeout))
	if len(dropped) != 1 || dropped[0].RequestID != 9 || dropped[0].Code != Post {
		t.Fatalf("dropped %v, want request 9", dropped)
	}
	if got, err := r.Add(epoch.Add(DefaultTimeout+1), chunks[2]); err != nil || got.Done {
		t.Errorf("late chunk: %+v, %v", got, err)
	}
	if sets, n := r.Pending(); sets != 0 || n != 0 {
		t.Errorf("%d sets, %d bytes kept for a late chunk", sets, n)
	}
}

func TestAnEmptyLastChunkAndASingleChunkAreAccepted(t *testing.T) {
	r := NewReassembler(ReassemblerOptions{})
	if got, err := r.Add(epoch, rawChunk(Success, 1, 1, 2, 8192, "\x00\xff")); err != nil || got.Done {
		t.Fatal(got, err)
	}
	got, err := r.Add(epoch, rawChunk(Success, 1, 2, 2, 8192, ""))
	if err != nil || !got.Done || string(got.Body) != "\x00\xff" {
		t.Errorf("empty last chunk: %+v, %v", got, err)
	}
	got, err = r.Add(epoch, rawChunk(Success, 2, 1, 1, 8192, "\x00\xff"))
	if err != nil || !got.Done {
		t.Errorf("single chunk: %+v, %v", got, err)
	}
}

// The share of memory that a flood of tiny chunks may take is set by
// MaxPending, whatever the chunks claim.
func TestMemoryIsBoundedByTheBytesReceived(t *testing.T) {
	const maxPending = 1 << 20
	floods := []struct {
		name string
		add  func(i int) []byte
	}{
		{"one-byte chunks that come backwards", func(i int) []byte { return rawChunk(Success, uint32(i/60000), 65535-i%60000, 65535, 1, "a") }},
		{"one-byte chunks that come in order", func(i int) []byte { return rawChunk(Success, uint32(i/60000), 1+i%60000, 65535, 0, "a") }},
		{"first chunks of new messages", func(i int) []byte { return rawChunk(Post, uint32(i), 1, 65535, 1, "a") }},
		{"refused chunks of new messages", func(i int) []byte { return rawChunk(Post, uint32(i), 0, 65535, 1, "a") }},
	}
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			r := NewReassembler(ReassemblerOptions{MaxPending: maxPending, MaxSets: 100000})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range 200000 {
				_, _ = r.Add(epoch, f.add(i))
				if _, n := r.Pending(); n > maxPending {
					t.Fatalf("%d bytes pending, limit %d", n, maxPending)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 3*maxPending {
				t.Errorf("heap grew by %d bytes, limit %d", grown, 3*maxPending)
			}
			runtime.KeepAlive(r)
		})
	}
}

func TestAFullReassemblerRefusesTheNewcomerAndKeepsTheOthers(t *testing.T) {
	r := NewReassembler(ReassemblerOptions{MaxSets: 2})
	first := chunksOf(t, message(t, Post, 1, echo("Thing1", 20000)), 8192)
	second := chunksOf(t, message(t, Post, 2, echo("Thing1", 20000)), 8192)
	third := chunksOf(t, message(t, Post, 3, echo("Thing1", 20000)), 8192)
	for _, c := range [][]byte{first[0], second[2]} {
		if _, err := r.Add(epoch, c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(epoch, third[0]); !errors.Is(err, ErrPending) {
		t.Fatalf("err %v, want ErrPending", err)
	}
	done := 0
	for _, c := range [][]byte{first[1], first[2], second[0], second[1]} {
		got, err := r.Add(epoch, c)
		if err != nil {
			t.Fatal(err)
		}
		if got.Done {
			done++
		}
	}
	if done != 2 {
		t.Errorf("%d messages complete, want 2", done)
	}
}

func TestChunkSizes(t *testing.T) {
	for _, size := range []int{MinChunkSize, 1000, 8192, 20000} {
		for _, entity := range []string{"T", strings.Repeat("n", 127), strings.Repeat("n", 128), strings.Repeat("n", 255)} {
			for _, maxMessage := range []int{1 << 20, 65536, 30000} {
				body := MaxBody(entity, size, maxMessage)
				frame := len(message(t, Post, 1, ServiceRequest(EntityThing, entity, "Echo", OneRow(Named{"in", NewString(strings.Repeat("x", 200))})))) - headerSize - 200
				if body < frame+200 {
					continue
				}
				fits := message(t, Post, 1, ServiceRequest(EntityThing, entity, "Echo", OneRow(Named{"in", NewString(strings.Repeat("x", body-frame-1))})))
				fits = fits[:headerSize+body]
				chunks := chunksOf(t, fits, size)
				if claimed := len(chunks) * size; len(chunks) > 1 && claimed > maxMessage {
					t.Errorf("body of %d bytes in chunks of %d claims %d, maximum %d", body, size, claimed, maxMessage)
				}
				r := NewReassembler(ReassemblerOptions{MaxMessage: maxMessage})
				for i, c := range chunks {
					if len(c) > size {
						t.Fatalf("chunk of %d bytes, limit %d", len(c), size)
					}
					got, err := r.Add(epoch, c)
					if err != nil {
						t.Fatal(err)
					}
					if last := i == len(chunks)-1; got.Done != last || last && !bytes.Equal(got.Body, fits[headerSize:]) {
						t.Fatalf("chunk %d of %d: done %v", i+1, len(chunks), got.Done)
					}
				}
			}
		}
	}
}

func TestImpossibleChunking(t *testing.T) {
	for _, size := range []int{0, 20, chunkHeaderSize} {
		if n := MaxBody("T", size, 1<<20); n != 0 {
			t.Errorf("%d bytes of body fit chunks of %d", n, size)
		}
	}
	m := message(t, Post, 1, echo(strings.Repeat("n", 600), 20000))
	for name, c := range map[string]struct {
		m    []byte
		size int
		want error
	}{
		"entity name longer than a chunk": {m, MinChunkSize, ErrBadCount},
		"chunk size too small":            {m, 30, ErrBadCount},
		"chunk size over two bytes":       {m, 65536, ErrBadCount},
		"shorter than a header":           {m[:10], 8192, ErrTruncated},
		"more chunks than can be counted": {message(t, Success, 1, OK(NewBlob(make([]byte, 40<<20)))), MinChunkSize, ErrTooLarge},
	} {
		if chunks, err := Chunks(nil, c.m, c.size); !errors.Is(err, c.want) || chunks != nil {
			t.Errorf("%s: %d chunks, err %v; want %v", name, len(chunks), err, c.want)
		}
	}
}

func TestAMessageThatFitsOneChunkGoesWhole(t *testing.T) {
	base := len(message(t, Success, 1, OK(NewString(strings.Repeat("x", 1000))))) - 1000
	fits := message(t, Success, 1, OK(NewString(strings.Repeat("x", 8192-6-base))))
	if n := len(chunksOf(t, fits, 8192)); len(fits) != 8186 || n != 1 {
		t.Errorf("message of %d bytes in %d parts, want 1", len(fits), n)
	}
	over := message(t, Success, 1, OK(NewString(strings.Repeat("x", 8192-5-base))))
	if n := len(chunksOf(t, over, 8192)); n != 2 {
		t.Errorf("message of %d bytes in %d parts, want 2", len(over), n)
	}
}

func TestARequestThatWasCutWithoutMarkersIsAnsweredOnce(t *testing.T) {
	whole := message(t, Post, 77, echo("Thing1", 8160))
	share := 8192 - chunkHeaderSize - len("\x0a\x06Thing1")
	header := whole[:headerSize]
	halves := [][]byte{whole[:headerSize+share], append(append(bytes.Clone(header), "\x0a\x06Thing1"...), whole[headerSize+share:]...)}
	r := NewReassembler(ReassemblerOptions{})
	answers := 0
	for i, b := range halves {
		got, err := r.Add(epoch, b)
		if err != nil || !got.Done {
			t.Fatalf("half %d: %+v, %v", i, got, err)
		}
		if _, _, err := ParseBody(got.Header, got.Body, Limits{}); err == nil {
			t.Fatalf("half %d was decoded", i)
		}
		if r.FirstFailure(epoch, got.Header) {
			answers++
		}
	}
	if answers != 1 {
		t.Errorf("%d answers, want 1", answers)
	}
	if !r.FirstFailure(epoch, Header{Code: Post, RequestID: 78}) || !r.FirstFailure(epoch.Add(failureSpan), Header{Code: Post, RequestID: 77}) {
		t.Error("another request, or a later one of the same id, gets no answer")
	}
}

func TestABadChunkEndsItsOwnMessageOnly(t *testing.T) {
	r := NewReassembler(ReassemblerOptions{})
	good := chunksOf(t, message(t, Post, 1, echo("Thing1", 20000)), 8192)
	bad := chunksOf(t, message(t, Post, 2, echo("Thing1", 20000)), 8192)
	spoilt := bytes.Clone(bad[1])
	spoilt[headerSize+1] = 0 // chunk number
	var errs, done int
	for _, c := range [][]byte{good[0], bad[0], spoilt, good[1], spoilt, bad[2], good[2]} {
		got, err := r.Add(epoch, c)
		if err != nil {
			errs++
		}
		if got.Done {
			done++
		}
	}
	if dropped := r.Expire(epoch.Add(DefaultTimeout)); errs != 1 || done != 1 || len(dropped) != 0 {
		t.Errorf("%d errors, %d messages complete, %d expired; want 1, 1, 0", errs, done, len(dropped))
	}
}
