package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("thing-%05d", i)
	}
	return names
}

// refusing makes a platform that refuses every BIND that names one of bad.
func refusing(bad func(name string) bool) func(*peerConn, *alwayson.Bind) *alwayson.Response {
	return func(_ *peerConn, b *alwayson.Bind) *alwayson.Response {
		if slices.ContainsFunc(b.Names, bad) {
			return alwayson.Fail(alwayson.Forbidden, "not yours")
		}
		return alwayson.OK(alwayson.Value{})
	}
}

func TestOnePoisonedNameIsIsolated(t *testing.T) {
	for _, poisoned := range []string{"thing-00000", "thing-00499", "thing-00500", "thing-00999", "thing-00321"} {
		t.Run(poisoned, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *peer) {
				p.bind = refusing(func(name string) bool { return name == poisoned })
				c := p.start(&recorder{}, nil)
				c.Want(manyNames(1000)...)
				pass(time.Second)
				if st := c.Status(); st.Bound != 999 || st.Refused != 1 {
					t.Fatalf("status %+v", st)
				}
				if n := p.bindCount(); n > 21 {
					t.Errorf("%d BINDs, want at most 21", n)
				}
				st, reason := c.BindState(poisoned)
				if st != alwayson.Refused || !strings.Contains(reason, "not yours") {
					t.Errorf("%s is %v: %s", poisoned, st, reason)
				}
				before := p.bindCount()
				pass(10 * time.Minute)
				if n := p.bindCount() - before; n < 5 || n > 20 {
					t.Errorf("%d retries of one refused name in 10 minutes", n)
				}
				p.set(func(s *script) { s.bind = nil })
				pass(2 * time.Minute)
				if st := c.Status(); st.Bound != 1000 {
					t.Errorf("status after the platform gave in: %+v", st)
				}
			})
		})
	}
}

func TestSeveralPoisonedNamesCostTheOthersOneRetryAtMost(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, p *peer) {
				bad := map[string]bool{}
				for i := range n {
					bad[fmt.Sprintf("thing-%05d", i*1000/n)] = true
				}
				p.bind = refusing(func(name string) bool { return bad[name] })
				c := p.start(&recorder{}, nil)
				c.Want(manyNames(1000)...)
				pass(15 * time.Second)
				if st := c.Status(); st.Bound != 1000-n || st.Refused != n {
					t.Errorf("after 15 s and %d BINDs: %+v", p.bindCount(), st)
				}
			})
		})
	}
}

func TestAllNamesRefusedCostFewBinds(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		opened := time.Now().Add(60 * time.Second) // the dead predecessor's idle time-out
		p.bind = func(*peerConn, *alwayson.Bind) *alwayson.Response {
			if time.Now().Before(opened) {
				return alwayson.Fail(alwayson.Forbidden, "bound elsewhere")
			}
			return alwayson.OK(alwayson.Value{})
		}
		h := &recorder{}
		c := p.start(h, nil)
		c.Want(manyNames(10000)...)
		pass(time.Second)
		if n := p.bindCount(); n > 12 {
			t.Errorf("%d BINDs for the first try, want at most 12", n)
		}
		if st := c.Status(); st.Refused != 10000 {
			t.Fatalf("status %+v", st)
		}
		pass(58 * time.Second)
		if n := p.bindCount(); n > 100 {
			t.Errorf("%d BINDs in the first minute, want few", n)
		}
		pass(62 * time.Second)
		if st := c.Status(); st.Bound != 10000 || h.boundCount() != 10000 {
			t.Errorf("status %+v after %d BINDs", st, p.bindCount())
		}
	})
}

func TestUnansweredBindIsRepeatedAndServedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var silent atomic.Bool
		silent.Store(true)
		p.bind = func(*peerConn, *alwayson.Bind) *alwayson.Response {
			if silent.Load() {
				return nil
			}
			return alwayson.OK(alwayson.Value{})
		}
		c := p.start(&recorder{}, nil)
		c.Want("a")
		pass(11 * time.Second)
		if st, reason := c.BindState("a"); st != alwayson.Unbound || !strings.Contains(reason, "no answer") {
			t.Fatalf("a is %v: %s", st, reason)
		}
		id := p.last().ask(alwayson.Get, service("a", "P"))
		pass(time.Millisecond)
		if code, _ := p.last().only(id); code != alwayson.Success {
			t.Errorf("a request after an unanswered BIND got %v", code)
		}
		silent.Store(false)
		pass(10 * time.Second)
		if st, _ := c.BindState("a"); st != alwayson.Bound {
			t.Errorf("a is %v after the repetition", st)
		}
	})
}

func TestNamesAreServedFromTheirBindOnAndNotAfterItsRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var early atomic.Uint32
		p.bind = func(c *peerConn, b *alwayson.Bind) *alwayson.Response {
			if early.Load() == 0 {
				early.Store(c.ask(alwayson.Post, service("a", "S")))
				time.Sleep(time.Second)
			}
			return alwayson.Fail(alwayson.Forbidden, "")
		}
		c := p.start(&recorder{}, nil)
		unknown := make(chan uint32, 1)
		pass(time.Millisecond)
		unknown <- p.last().ask(alwayson.Post, service("a", "S"))
		pass(time.Millisecond)
		if code, resp := p.last().only(<-unknown); code != alwayson.NotFound || !strings.Contains(resp.Reason, `"a"`) {
			t.Errorf("before the BIND: %v %s", code, resp.Reason)
		}
		c.Want("a")
		pass(2 * time.Second)
		if code, _ := p.last().only(early.Load()); code != alwayson.Success {
			t.Errorf("while the BIND was not answered: %v", code)
		}
		late := p.last().ask(alwayson.Post, service("a", "S"))
		pass(time.Millisecond)
		if code, _ := p.last().only(late); code != alwayson.NotFound {
			t.Errorf("after the refusal: %v", code)
		}
		if st, reason := c.BindState("a"); st != alwayson.Refused || reason != alwayson.Forbidden.String() {
			t.Errorf("a is %v: %q", st, reason)
		}
	})
}

func TestUnwantUnbindsAndWantBindsAgain(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("a", "b", "a")
		pass(time.Millisecond)
		c.Unwant("a", "nobody")
		pass(time.Millisecond)
		id := p.last().ask(alwayson.Post, service("a", "S"))
		pass(time.Millisecond)
		if code, _ := p.last().only(id); code != alwayson.NotFound {
			t.Errorf("an unbound Thing was answered %v", code)
		}
		if st := c.Status(); st.Wanted != 1 || st.Bound != 1 {
			t.Errorf("status %+v", st)
		}
		c.Want("a")
		c.Unwant("a")
		c.Want("a")
		c.Rebind("b")
		pass(time.Millisecond)
		if st := c.Status(); st.Wanted != 2 || st.Bound != 2 {
			t.Errorf("status %+v", st)
		}
		if got := p.notes(); !strings.HasPrefix(got, "AUTH BIND UNBIND BIND") {
			t.Errorf("the platform saw %s", got)
		}
	})
}

func TestGatewayStandsInEveryBindAndUnbind(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		g := alwayson.Gateway{Name: "plant-7", Type: "SDKGateway"}
		p.bind = func(_ *peerConn, b *alwayson.Bind) *alwayson.Response {
			if b.Gateway == nil || *b.Gateway != g {
				t.Errorf("BIND with gateway %v", b.Gateway)
			}
			return alwayson.OK(alwayson.Value{})
		}
		c := p.start(&recorder{}, func(o *Options) { o.Gateway = &g })
		c.Want("a")
		pass(time.Millisecond)
		c.Want("b")
		pass(time.Millisecond)
		if n := p.bindCount(); n != 2 {
			t.Errorf("%d BINDs", n)
		}
	})
}

func TestLargeBatchesGoInChunks(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		names := manyNames(3000)
		for i := range names {
			names[i] += strings.Repeat("x", 200)
		}
		c.Want(names...)
		pass(time.Second)
		if st := c.Status(); st.Bound != 3000 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestManySingleWantsShareBinds(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.bind = func(*peerConn, *alwayson.Bind) *alwayson.Response {
			time.Sleep(10 * time.Millisecond)
			return alwayson.OK(alwayson.Value{})
		}
		c := p.start(&recorder{}, nil)
		pass(time.Millisecond)
		for _, name := range manyNames(5000) {
			c.Want(name)
		}
		pass(10 * time.Second)
		if st := c.Status(); st.Bound != 5000 {
			t.Errorf("status %+v", st)
		}
		if n := p.bindCount(); n > 7 {
			t.Errorf("%d BINDs for 5000 names wanted one by one", n)
		}
	})
}

func TestThingsThatComeAndGoDuringAnOutageLeaveNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		c.Want("stays")
		pass(time.Second)
		p.set(func(s *script) {
			s.upgrade = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
		})
		c.Reconnect("outage")
		pass(time.Second)
		for range 1000 {
			c.Want("flaps")
			c.Unwant("flaps")
		}
		c.Want("flaps")
		c.things.mu.Lock()
		n := len(c.things.fresh)
		c.things.mu.Unlock()
		if n > 2 {
			t.Errorf("%d entries wait for a BIND of two Things", n)
		}
		p.set(func(s *script) { s.upgrade = nil })
		pass(5 * time.Minute)
		if st := c.Status(); st.Bound != 2 {
			t.Errorf("status %+v", st)
		}
	})
}
