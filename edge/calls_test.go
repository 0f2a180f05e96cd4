package edge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func TestCalls(t *testing.T) {
	t.Run("without a connection", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			c, err := NewClient(Options{URL: "ws://x", AppKey: func(context.Context) (string, error) { return "k", nil }}, &recorder{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Call(t.Context(), alwayson.Post, service("a", "S")); !errors.Is(err, alwayson.ErrNotConnected) {
				t.Errorf("err %v", err)
			}
		})
	})
	t.Run("an error status is a response", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
				return alwayson.Fail(alwayson.NotFound, "no such service")
			}
			c := p.start(&recorder{}, nil)
			pass(time.Millisecond)
			resp, err := c.Call(t.Context(), alwayson.Post, service("a", "S"))
			if err != nil || resp.Code != alwayson.NotFound || resp.Reason != "no such service" {
				t.Errorf("%+v, %v", resp, err)
			}
		})
	})
	t.Run("no answer in time, and a late one changes nothing", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			asked := make(chan alwayson.Header, 1)
			p.request = func(_ *peerConn, h alwayson.Header, _ *alwayson.Request) *alwayson.Response { asked <- h; return nil }
			c := p.start(&recorder{}, nil)
			pass(time.Millisecond)
			ends := make(chan error, 3)
			c.Start(alwayson.Post, service("a", "S"), 3*time.Second, func(_ *alwayson.Response, err error) { ends <- err })
			pass(4 * time.Second)
			if len(ends) != 1 {
				t.Fatal("the call has not ended in time")
			}
			if err := <-ends; !errors.Is(err, alwayson.ErrNoAnswer) {
				t.Fatalf("err %v", err)
			}
			h := <-asked
			p.last().answer(h, alwayson.OK(alwayson.Value{}))
			p.last().answer(h, alwayson.OK(alwayson.Value{}))
			pass(time.Second)
			if n := len(ends); n != 0 {
				t.Errorf("done called %d times more", n)
			}
		})
	})
	t.Run("an answer that cannot be read ends the call, a bare header does not", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.request = func(c *peerConn, h alwayson.Header, _ *alwayson.Request) *alwayson.Response {
				h.Code = alwayson.Success
				c.raw(bare(h))
				time.Sleep(time.Second)
				c.raw(append(bare(h), 0, 99))
				return nil
			}
			c := p.start(&recorder{}, nil)
			pass(time.Millisecond)
			began := time.Now()
			_, err := c.Call(t.Context(), alwayson.Post, service("a", "S"))
			var bad *alwayson.DecodeError
			if !errors.As(err, &bad) || time.Since(began) != time.Second {
				t.Errorf("err %v after %s", err, time.Since(began))
			}
		})
	})
	t.Run("too many", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response { return nil }
			c := p.start(&recorder{}, func(o *Options) { o.MaxCalls = 10 })
			pass(time.Millisecond)
			var busy atomic.Int32
			for range 12 {
				c.Start(alwayson.Post, service("a", "S"), time.Second, func(_ *alwayson.Response, err error) {
					if errors.Is(err, alwayson.ErrBusy) {
						busy.Add(1)
					}
				})
			}
			pass(time.Millisecond)
			if n := busy.Load(); n != 2 {
				t.Errorf("%d refused, want 2", n)
			}
		})
	})
	t.Run("an ended context ends the call", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response { return nil }
			c := p.start(&recorder{}, nil)
			pass(time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := c.Call(ctx, alwayson.Post, service("a", "S")); !errors.Is(err, context.Canceled) {
				t.Errorf("err %v", err)
			}
		})
	})
}

func TestBodiesUpToMaxBodyAreSent(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var got atomic.Int64
		p.request = func(_ *peerConn, _ alwayson.Header, r *alwayson.Request) *alwayson.Response {
			got.Store(int64(len(r.Params.Cell(0, "v").Text())))
			return alwayson.OK(alwayson.NewTable(alwayson.NewResult(r.Params.Cell(0, "v"))))
		}
		c := p.start(&recorder{}, nil)
		pass(time.Millisecond)
		size := func(n int) *alwayson.Request {
			return alwayson.ServiceRequest(alwayson.EntityThing, "a", "S", alwayson.OneRow(alwayson.Named{Name: "v", Value: alwayson.NewString(strings.Repeat("x", n))}))
		}
		empty, err := alwayson.Append(nil, &alwayson.Message{Header: alwayson.Header{Code: alwayson.Post}, Body: size(200)})
		if err != nil {
			t.Fatal(err)
		}
		n := c.MaxBody() - (len(empty) - 15 - 200)
		resp, err := c.Call(t.Context(), alwayson.Post, size(n))
		if err != nil || int(got.Load()) != n || len(alwayson.Result(resp.Content, "result").Text()) != n {
			t.Errorf("largest body: %d bytes arrived of %d, err %v", got.Load(), n, err)
		}
		if _, err := c.Call(t.Context(), alwayson.Post, size(1<<20-100)); !errors.Is(err, alwayson.ErrTooLarge) {
			t.Errorf("too large a body: %v", err)
		}
	})
}

// The platform can answer faster than its answers are worked off.
func TestTheTablesOfAnswersThatWaitAreBoundedTogether(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: "n", Type: alwayson.TypeNumber}}}
		for range 1000 {
			table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewNumber(1)})
		}
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			return alwayson.OK(alwayson.NewTable(table))
		}
		c := p.start(&recorder{}, func(o *Options) { o.MaxServingCells = 3000 })
		pass(time.Millisecond)
		busy := make(chan struct{})
		c.events.post(func() { <-busy })
		taken, refused := 0, 0
		for range 5 {
			c.Start(alwayson.Post, service("a", "S"), time.Minute, func(resp *alwayson.Response, err error) {
				switch {
				case err == nil && resp.Content.Table().Len() == 1000:
					taken++
				case errors.Is(err, alwayson.ErrNoAnswer):
					refused++
				}
			})
			pass(time.Millisecond)
		}
		close(busy)
		pass(time.Millisecond)
		if taken != 3 || refused != 2 || c.answers.Load() != 0 {
			t.Errorf("%d were taken and %d refused, want 3 and 2; %d cells are left", taken, refused, c.answers.Load())
		}
	})
}
