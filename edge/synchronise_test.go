package edge

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func subscriptions(names ...string) *alwayson.InfoTable {
	t := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: "edgeName", Type: alwayson.TypeString}, {Name: "pushType", Type: alwayson.TypeString}, {Name: "pushThreshold", Type: alwayson.TypeNumber}}}
	for _, n := range names {
		t.Rows = append(t.Rows, []alwayson.Value{alwayson.NewString(n), alwayson.NewString("ALWAYS"), alwayson.NewNumber(0)})
	}
	return t
}

func TestNotifyPropertyUpdateIsAnsweredAndAsksBack(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		const fail = 2
		var asked atomic.Int32
		p.request = func(_ *peerConn, _ alwayson.Header, r *alwayson.Request) *alwayson.Response {
			if r.Name != alwayson.ServiceGetSubscriptions || r.Entity != "a" || r.Params.Cell(0, "options").Text() != `{"hasDeadband":true}` {
				t.Errorf("asked %+v", r)
			}
			if asked.Add(1) <= fail {
				return alwayson.Fail(alwayson.ServiceUnavailable, "still starting")
			}
			return alwayson.OK(alwayson.NewTable(subscriptions("temp", "flow")))
		}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Millisecond)
		id := p.last().ask(alwayson.Post, service("a", alwayson.ServiceNotifyPropertyUpdate))
		pass(10 * time.Second)
		if code, _ := p.last().only(id); code != alwayson.Success {
			t.Errorf("NotifyPropertyUpdate answered %v", code)
		}
		if asked.Load() != 3 || len(h.subscribed("a")) != 2 || h.subscribed("a")[0].EdgeName != "temp" || h.subscribed("a")[0].Push != alwayson.PushAlways {
			t.Errorf("asked %d times, subscriptions %v", asked.Load(), h.subscribed("a"))
		}
		pass(time.Hour)
		if asked.Load() != 3 {
			t.Errorf("asked %d times in an hour", asked.Load())
		}
	})
}

func TestRepeatedNotificationsShareTheirQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		var asked atomic.Int32
		p.request = func(c *peerConn, hd alwayson.Header, _ *alwayson.Request) *alwayson.Response {
			n := asked.Add(1)
			time.AfterFunc(time.Second, func() { c.answer(hd, alwayson.OK(alwayson.NewTable(subscriptions(fmt.Sprint(n))))) })
			return nil
		}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Millisecond)
		for range 20 {
			p.last().ask(alwayson.Post, service("a", alwayson.ServiceNotifyPropertyUpdate))
		}
		pass(time.Minute)
		if asked.Load() != 2 || h.subscribed("a")[0].EdgeName != "2" {
			t.Errorf("asked %d times, subscriptions %v; want the answer to a question after the last change", asked.Load(), h.subscribed("a"))
		}
	})
}

func TestAPlatformThatDoesNotBeginIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		var inFlight, most atomic.Int32
		p.request = func(c *peerConn, hd alwayson.Header, _ *alwayson.Request) *alwayson.Response {
			if n := inFlight.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.AfterFunc(10*time.Millisecond, func() {
				inFlight.Add(-1)
				c.answer(hd, alwayson.OK(alwayson.NewTable(subscriptions("p"))))
			})
			return nil
		}
		c := p.start(h, func(o *Options) { o.MaxAsking = 8 })
		c.Want(manyNames(100)...)
		pass(4900 * time.Millisecond)
		if h.subscribedCount() != 0 {
			t.Fatal("asked before the platform's time was over")
		}
		pass(time.Second)
		if h.subscribedCount() != 100 || most.Load() > 8 {
			t.Errorf("%d Things subscribed, up to %d questions in flight", h.subscribedCount(), most.Load())
		}
	})
}

// A name that was bound while nothing was behind it must be bound again once the Thing
// exists: until then nobody claims it, and no request comes.
func TestAThingThatIsCreatedAfterItsBindIsBoundAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   alwayson.Code
		begins bool // the platform begins to synchronise by itself
		binds  int
	}{
		{"there was no such Thing", alwayson.NotFound, false, 2},
		{"the question failed otherwise", alwayson.ServiceUnavailable, false, 1},
		{"the platform began, so the Thing was only starting", alwayson.NotFound, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *peer) {
				var created atomic.Bool
				p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
					if !created.Load() {
						return alwayson.Fail(c.code, "not now")
					}
					return alwayson.OK(alwayson.NewTable(subscriptions("p")))
				}
				h := &recorder{}
				client := p.start(h, nil)
				client.Want("a")
				pass(time.Millisecond)
				if c.begins {
					p.last().ask(alwayson.Post, service("a", alwayson.ServiceNotifyPropertyUpdate))
				}
				pass(time.Minute)
				if p.bindCount() != 1 {
					t.Fatalf("%d BINDs while there is no Thing", p.bindCount())
				}
				created.Store(true)
				pass(time.Hour)
				if p.bindCount() != c.binds {
					t.Errorf("%d BINDs, want %d", p.bindCount(), c.binds)
				}
				if len(h.subscribed("a")) != 1 {
					t.Errorf("subscriptions %v", h.subscribed("a"))
				}
			})
		})
	}
}

func TestSynchronizeModelState(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{values: []alwayson.PropertyValue{{Name: "temp", Value: alwayson.NewNumber(3.5), Time: 1000, Quality: "GOOD"}}}
		var asked atomic.Int32
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			asked.Add(1)
			return alwayson.OK(alwayson.NewTable(subscriptions()))
		}
		var id atomic.Uint32
		p.bind = func(c *peerConn, _ *alwayson.Bind) *alwayson.Response {
			params := alwayson.OneRow(alwayson.Named{Name: "propertyInfo", Value: alwayson.NewTable(subscriptions("temp"))},
				alwayson.Named{Name: "eventInfo", Value: alwayson.NewTable(&alwayson.InfoTable{})})
			id.Store(c.ask(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "a", alwayson.ServiceSynchronize, params)))
			return alwayson.OK(alwayson.Value{}) // the request overtakes the answer
		}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Minute)
		code, resp := p.last().only(id.Load())
		table := resp.Content.Table()
		if code != alwayson.Success || table.Len() != 1 || table.Cell(0, "name").Text() != "temp" || table.Cell(0, "value").Unwrap().Number() != 3.5 {
			t.Errorf("answered %v %v", code, resp)
		}
		if got := h.all(); got != "up; a binding; a bound; a subscribed" {
			t.Errorf("events: %s", got)
		}
		if asked.Load() != 0 {
			t.Errorf("asked %d times although the platform had told", asked.Load())
		}
	})
}

func TestBindingAgainSynchronisesAgain(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var asked atomic.Int32
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			asked.Add(1)
			return alwayson.OK(alwayson.NewTable(subscriptions("p")))
		}
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Minute)
		c.Rebind("a")
		pass(time.Minute)
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times over two BINDs", n)
		}
	})
}

func TestSynchronisationEndsWithTheBinding(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var asked atomic.Int32
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			asked.Add(1)
			return alwayson.Fail(alwayson.NotFound, "no such Thing")
		}
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("a", "b")
		pass(time.Minute)
		if asked.Load() < 6 {
			t.Errorf("asked %d times in a minute, want repetitions", asked.Load())
		}
		c.Unwant("a", "b")
		pass(time.Second)
		asked.Store(0)
		pass(time.Hour)
		if asked.Load() != 0 || strings.Contains(h.all(), "subscribed") {
			t.Errorf("asked %d times for Things that are not wanted; events %s", asked.Load(), h.all())
		}
	})
}

func TestThatSubscriptionsAreNotToldIsLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			return alwayson.Fail(alwayson.NotFound, "no such thing")
		}
		var out safeBuffer
		c := p.start(&recorder{}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
		c.Want(manyNames(50)...)
		pass(30 * time.Minute)
		if n := strings.Count(out.String(), "does not tell its subscriptions"); n != 1 {
			t.Errorf("%d lines about 50 Things that the platform does not know:\n%s", n, out.String())
		}
	})
}

func TestTheSubscriptionsOfAThingAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			return alwayson.OK(alwayson.NewTable(subscriptions("a", "b", "c", "d")))
		}
		var log strings.Builder
		c := p.start(h, func(o *Options) {
			o.MaxSubscriptions = 3
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		c.Want("a")
		pass(time.Millisecond)
		p.last().ask(alwayson.Post, service("a", alwayson.ServiceNotifyPropertyUpdate))
		pass(time.Millisecond)
		if got := h.subscribed("a"); len(got) != 3 || got[2].EdgeName != "c" {
			t.Errorf("asked for: %v", got)
		}
		sync := service("a", alwayson.ServiceSynchronize)
		sync.Params = alwayson.OneRow(alwayson.Named{Name: "propertyInfo", Value: alwayson.NewTable(subscriptions("w", "x", "y", "z"))})
		p.last().ask(alwayson.Post, sync)
		pass(time.Millisecond)
		if got := h.subscribed("a"); len(got) != 3 || got[2].EdgeName != "y" {
			t.Errorf("told: %v", got)
		}
		if n := strings.Count(log.String(), "more subscriptions of a Thing than are kept"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

func TestMoreCurrentValuesThanAMessageHoldsDoNotSpoilTheSynchronisation(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		for i, size := range []int{100_000, 900_000, 200_000, 800_000, 10} {
			h.values = append(h.values, alwayson.PropertyValue{Name: fmt.Sprint("p", i), Value: alwayson.NewString(strings.Repeat("x", size))})
		}
		for i := range 3500 {
			h.values = append(h.values, alwayson.PropertyValue{Name: fmt.Sprint(i), Value: alwayson.NewBoolean(true), Time: 1000})
		}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Millisecond)
		sync := service("a", alwayson.ServiceSynchronize)
		sync.Params = alwayson.OneRow(alwayson.Named{Name: "propertyInfo", Value: alwayson.NewTable(subscriptions("p0"))})
		id := p.last().ask(alwayson.Post, sync)
		pass(time.Second)
		code, resp := p.last().only(id)
		if code != alwayson.Success || resp.Content.Table().Len() < 3 {
			t.Fatalf("answered %v %s", code, resp.Reason)
		}
		if name := resp.Content.Table().Cell(1, "name").Text(); name != "p1" {
			t.Errorf("the second value is %s", name)
		}
	})
}
