package edge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

func TestConnectsAuthenticatesBindsAndServes(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("pump-1")
		pass(time.Millisecond)
		if got := h.all(); got != "up; pump-1 binding; pump-1 bound" {
			t.Fatalf("events: %s", got)
		}
		id := p.last().ask(alwayson.Post, service("pump-1", "Reset"))
		pass(time.Millisecond)
		code, resp := p.last().only(id)
		if code != alwayson.Success || alwayson.Result(resp.Content, "result").Text() != "Reset" {
			t.Errorf("answer %v %v", code, resp)
		}
		st := c.Status()
		if !st.Connected || st.Session != 1 || st.Bound != 1 || st.Wanted != 1 || st.Refused != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestAuthentication(t *testing.T) {
	t.Run("a refused key is reported, waits in the slower class and is read afresh", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			var key atomic.Value
			var reads atomic.Int32
			key.Store("old")
			c := p.start(&recorder{}, func(o *Options) {
				o.AppKey = func(context.Context) (string, error) { reads.Add(1); return key.Load().(string), nil }
			})
			pass(time.Second)
			st := c.Status()
			if st.Connected || st.LastCode != alwayson.Unauthorized || st.Attempts != 1 {
				t.Fatalf("status %+v", st)
			}
			pass(10 * time.Second)
			if n := reads.Load(); n != 1 {
				t.Errorf("%d attempts in the first 11 s, want the slower class", n)
			}
			key.Store(testKey)
			pass(10 * time.Second)
			if !c.Status().Connected {
				t.Errorf("corrected key not taken up: %+v", c.Status())
			}
		})
	})
	t.Run("an AUTH that is never answered ends the attempt after its time", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.auth = func(string) alwayson.Code { return 0 }
			c := p.start(&recorder{}, nil)
			pass(9 * time.Second)
			if st := c.Status(); st.Attempts != 0 {
				t.Fatalf("gave up after less than 9 s: %+v", st)
			}
			pass(2 * time.Second)
			if st := c.Status(); st.Connected || !strings.Contains(st.LastError, "no answer") {
				t.Errorf("status %+v", st)
			}
		})
	})
	t.Run("an unreadable key is no attempt on the platform", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			c := p.start(&recorder{}, func(o *Options) {
				o.AppKey = func(context.Context) (string, error) { return "", errors.New("file gone") }
			})
			pass(time.Minute)
			if st := c.Status(); !strings.Contains(st.LastError, "file gone") || p.connCount() != 0 {
				t.Errorf("status %+v, %d connections", st, p.connCount())
			}
		})
	})
}

func TestReconnectBindsEverythingAgain(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("a", "b")
		pass(time.Second)
		failed := make(chan error, 1)
		p.set(func(s *script) { s.request = mute })
		c.Start(alwayson.Post, service("a", "Slow"), time.Minute, func(_ *alwayson.Response, err error) { failed <- err })
		pass(time.Millisecond)
		p.last().ws.Close()
		pass(time.Millisecond)
		if err := <-failed; !errors.Is(err, alwayson.ErrConnectionLost) {
			t.Errorf("the call in flight ended with %v", err)
		}
		if st, _ := c.BindState("a"); st != alwayson.Unbound {
			t.Errorf("a is %v while disconnected", st)
		}
		pass(10 * time.Second)
		first, second, _ := strings.Cut(h.all(), "down; up")
		if st := c.Status(); st.Session != 2 || st.Bound != 2 {
			t.Errorf("status %+v", st)
		}
		for _, want := range []string{"a bound", "b bound"} {
			if !strings.Contains(first, want) || !strings.Contains(second, want) {
				t.Errorf("%q is missing before or after the loss: %s", want, h.all())
			}
		}
		if strings.Count(first, "unbound") != 2 {
			t.Errorf("before the loss was told: %s", first)
		}
		if n := p.bindCount(); n != 2 {
			t.Errorf("%d BINDs over both connections, want 2", n)
		}
	})
}

func TestBackoffResetsOnlyAfterAHealthySpell(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		for range 6 {
			pass(time.Millisecond)
			for !c.Status().Connected {
				pass(time.Second)
			}
			p.last().ws.Close()
			pass(time.Millisecond)
		}
		if n := c.Status().Attempts; n != 6 {
			t.Fatalf("%d failures counted after 6 short connections", n)
		}
		for !c.Status().Connected {
			pass(time.Second)
		}
		pass(31 * time.Second)
		p.last().ws.Close()
		pass(time.Millisecond)
		if n := c.Status().Attempts; n != 1 {
			t.Errorf("%d failures counted after a healthy connection, want 1", n)
		}
	})
}

func TestDeadPeerIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.setup = func(c *peerConn) { c.ws.SetPingHandler(func(string) error { return nil }) }
		h := &recorder{}
		p.start(h, nil)
		pass(29 * time.Second)
		if len(h.lost()) != 0 {
			t.Fatalf("given up too early: %v", h.lost())
		}
		pass(2 * time.Second)
		if len(h.lost()) != 1 || !errors.Is(h.lost()[0], ErrPeerDead) {
			t.Errorf("downs %v", h.lost())
		}
	})
}

func TestPeerThatDiesAfterTrafficIsNoticedAtTheFirstPing(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.setup = func(c *peerConn) { c.ws.SetPingHandler(func(string) error { return nil }) }
		h := &recorder{}
		p.start(h, func(o *Options) { o.PingInterval = 18 * time.Second })
		pass(17 * time.Second)
		p.last().raw(bare(p.last().header(alwayson.KeepAlive, 1)))
		pass(12 * time.Second)
		if len(h.lost()) != 1 || !errors.Is(h.lost()[0], ErrPeerDead) {
			t.Errorf("downs %v", h.lost())
		}
	})
}

func TestPongsKeepTheConnectionAndMeasureTheRoundTrip(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.setup = func(c *peerConn) {
			c.ws.SetPingHandler(func(s string) error {
				time.Sleep(30 * time.Millisecond)
				return c.ws.WriteControl(websocket.PongMessage, []byte(s), time.Now().Add(time.Second))
			})
		}
		c := p.start(&recorder{}, nil)
		pass(10 * time.Minute)
		if st := c.Status(); st.Session != 1 || !st.Connected || st.RTT != 30*time.Millisecond {
			t.Errorf("status %+v", st)
		}
	})
}

func TestPongsThatComeAtOnceKeepTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		pass(24 * time.Hour)
		if st := c.Status(); st.Session != 1 || !st.Connected {
			t.Errorf("status %+v", st)
		}
	})
}

func TestPingsOfThePlatformAreAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var pongs atomic.Int32
		p.setup = func(c *peerConn) { c.ws.SetPongHandler(func(s string) error { pongs.Add(1); return nil }) }
		p.start(&recorder{}, nil)
		pass(time.Millisecond)
		p.last().ws.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(time.Second))
		pass(time.Millisecond)
		if n := pongs.Load(); n != 1 {
			t.Errorf("%d pongs, want 1", n)
		}
	})
}

func TestPeerThatStopsReadingIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		block := make(chan struct{})
		defer close(block)
		p.set(func(s *script) {
			s.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response { <-block; return nil }
		})
		c := p.start(h, func(o *Options) { o.QueueBytes = 4096 })
		pass(time.Millisecond)
		var busy, lost atomic.Int32
		for range 200 {
			c.Start(alwayson.Post, service("x", strings.Repeat("n", 200)), time.Minute, func(_ *alwayson.Response, err error) {
				switch {
				case errors.Is(err, alwayson.ErrBusy):
					busy.Add(1)
				case errors.Is(err, alwayson.ErrConnectionLost):
					lost.Add(1)
				}
			})
		}
		pass(11 * time.Second)
		if len(h.lost()) != 1 {
			t.Fatalf("downs %v", h.lost())
		}
		if b, l := busy.Load(), lost.Load(); b == 0 || l == 0 || b+l != 200 {
			t.Errorf("%d calls refused as busy, %d lost, want 200 together", b, l)
		}
	})
}

func TestRunLeavesInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{onRequest: func(string, alwayson.Code, *alwayson.Request, func(*alwayson.Response)) {}}
		c := p.start(h, func(o *Options) { o.Gateway = &alwayson.Gateway{Name: "g", Type: "SDKGateway"} })
		c.Want("a", "b")
		pass(time.Second)
		id := p.last().ask(alwayson.Post, service("a", "Slow"))
		pass(time.Second)
		if err := c.stop(); err != nil {
			t.Fatalf("Run: %v", err)
		}
		<-p.last().gone
		if got := p.notes(); got != "AUTH BIND UNBIND CLOSE 1000" {
			t.Errorf("the platform saw %s", got)
		}
		if code, _ := p.last().only(id); code != alwayson.ServiceUnavailable {
			t.Errorf("the request in flight was answered %v", code)
		}
		if len(h.lost()) != 1 || h.lost()[0] != nil {
			t.Errorf("downs %v, want one without error", h.lost())
		}
		if !strings.HasSuffix(h.all(), "down") {
			t.Errorf("events %s", h.all())
		}
		if err := c.Run(context.Background()); !errors.Is(err, ErrRunning) {
			t.Errorf("second Run: %v", err)
		}
	})
}

func TestLeavingTakesAtMostItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		c.Want("a")
		pass(time.Second)
		block := make(chan struct{})
		defer close(block)
		p.set(func(s *script) {
			s.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response { <-block; return nil }
		})
		c.Start(alwayson.Post, service("a", "S"), time.Minute, func(*alwayson.Response, error) {})
		pass(time.Millisecond)
		began := time.Now()
		if err := c.stop(); err == nil {
			t.Error("Run returned nil though UNBIND was not answered")
		}
		if took := time.Since(began); took > 13*time.Second {
			t.Errorf("leaving took %s", took)
		}
	})
}
