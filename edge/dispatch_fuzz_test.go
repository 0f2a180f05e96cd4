package edge

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

// loose makes a session that has no connection: what it would send stays queued.
func loose(tb testing.TB, serve func(*served, *alwayson.Request)) *session {
	tb.Helper()
	opt, err := Options{URL: "ws://x", AppKey: func(context.Context) (string, error) { return "", nil }}.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	m, err := newMetrics(nil, gauges{})
	if err != nil {
		tb.Fatal(err)
	}
	return newSession(&opt, m, 1, &idSource{}, serve)
}

// FuzzDispatch feeds a session with what a platform could send, several
// messages of at most 64 KiB each behind two bytes of length. It must not panic,
// must answer a request at most once, and must end a waiting call exactly once.
func FuzzDispatch(f *testing.F) {
	add := func(messages ...[]byte) {
		var in []byte
		for _, m := range messages {
			in = binary.BigEndian.AppendUint16(in, uint16(len(m)))
			in = append(in, m...)
		}
		f.Add(in)
	}
	h := func(code alwayson.Code, id uint32) alwayson.Header {
		return alwayson.Header{Code: code, RequestID: id, SessionID: 7}
	}
	whole := func(h alwayson.Header, b alwayson.Body) []byte {
		out, err := alwayson.Append(nil, &alwayson.Message{Header: h, Body: b})
		if err != nil {
			f.Fatal(err)
		}
		return out
	}
	request := whole(h(alwayson.Post, 9), alwayson.SubscriptionsRequest("a"))
	answer := whole(h(alwayson.Success, 1), alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewString("x")))))
	large := whole(h(alwayson.Success, 1), alwayson.OK(alwayson.NewBlob(make([]byte, 3000))))
	chunks, err := alwayson.Chunks(nil, large, alwayson.MinChunkSize)
	if err != nil {
		f.Fatal(err)
	}
	add(request, answer)
	add(answer[:20], request[:30])
	add(chunks...)
	add(chunks[1], request, chunks[0])
	add(whole(h(alwayson.BindCode, 3), &alwayson.Bind{Names: []string{"a"}}), bare(h(alwayson.Success, 1)), bare(h(alwayson.KeepAlive, 0)))
	add(bare(alwayson.Header{Code: alwayson.Success, RequestID: alwayson.NoRequest, SessionID: 8}))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := loose(t, func(q *served, req *alwayson.Request) {
			q.respond(alwayson.OK(alwayson.NewString(req.Name)))
			q.respond(alwayson.OK(alwayson.Value{}))
		})
		ends := 0
		if err := s.start(alwayson.Post, alwayson.SubscriptionsRequest("a"), time.Minute, true, func(alwayson.Header, *alwayson.Response, error) { ends++ }); err != nil {
			t.Fatal(err)
		}
		asked := s.out.requests.len()
		messages := 0
		for len(in) >= 2 {
			n := min(int(binary.BigEndian.Uint16(in)), len(in)-2)
			s.dispatch(in[2 : 2+n])
			in = in[2+n:]
			messages++
		}
		if n := s.out.answers.len(); n > messages {
			t.Errorf("%d answers to %d messages", n, messages)
		}
		if s.out.requests.len() != asked || len(s.serving) != 0 {
			t.Errorf("%d requests and %d being served after the messages", s.out.requests.len(), len(s.serving))
		}
		s.expireParts(time.Now().Add(time.Hour))
		s.die(errors.New("over"))
		s.end(func(error) {})
		if ends != 1 {
			t.Errorf("the waiting call ended %d times", ends)
		}
	})
}
