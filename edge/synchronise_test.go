package edge

import (
	"fmt"
	"strings"
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
		asked, fail := 0, 2
		p.request = func(_ *peerConn, _ alwayson.Header, r *alwayson.Request) *alwayson.Response {
			if r.Name != alwayson.ServiceGetSubscriptions || r.Entity != "a" || r.Params.Cell(0, "options").Text() != `{"hasDeadband":true}` {
				t.Errorf("asked %+v", r)
			}
			asked++
			if asked <= fail {
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
		if asked != 3 || len(h.subs["a"]) != 2 || h.subs["a"][0].EdgeName != "temp" || h.subs["a"][0].Push != alwayson.PushAlways {
			t.Errorf("asked %d times, subscriptions %v", asked, h.subs)
		}
		pass(time.Hour)
		if asked != 3 {
			t.Errorf("asked %d times in an hour", asked)
		}
	})
}

func TestRepeatedNotificationsShareTheirQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		asked := 0
		p.request = func(c *peerConn, hd alwayson.Header, _ *alwayson.Request) *alwayson.Response {
			asked++
			n := asked
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
		if asked != 2 || h.subs["a"][0].EdgeName != "2" {
			t.Errorf("asked %d times, subscriptions %v; want the answer to a question after the last change", asked, h.subs)
		}
	})
}

func TestAPlatformThatDoesNotBeginIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		inFlight, most := 0, 0
		p.request = func(c *peerConn, hd alwayson.Header, _ *alwayson.Request) *alwayson.Response {
			inFlight++
			most = max(most, inFlight)
			time.AfterFunc(10*time.Millisecond, func() {
				inFlight--
				c.answer(hd, alwayson.OK(alwayson.NewTable(subscriptions("p"))))
			})
			return nil
		}
		c := p.start(h, func(o *Options) { o.MaxAsking = 8 })
		c.Want(manyNames(100)...)
		pass(4900 * time.Millisecond)
		if len(h.subs) != 0 {
			t.Fatal("asked before the platform's time was over")
		}
		pass(time.Second)
		if len(h.subs) != 100 || most > 8 {
			t.Errorf("%d Things subscribed, up to %d questions in flight", len(h.subs), most)
		}
	})
}

func TestSynchronizeModelState(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{values: []alwayson.PropertyValue{{Name: "temp", Value: alwayson.NewNumber(3.5), Time: 1000, Quality: "GOOD"}}}
		asked := 0
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			asked++
			return alwayson.OK(alwayson.NewTable(subscriptions()))
		}
		var id uint32
		p.bind = func(c *peerConn, _ *alwayson.Bind) *alwayson.Response {
			params := alwayson.OneRow(alwayson.Named{Name: "propertyInfo", Value: alwayson.NewTable(subscriptions("temp"))},
				alwayson.Named{Name: "eventInfo", Value: alwayson.NewTable(&alwayson.InfoTable{})})
			id = c.ask(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "a", alwayson.ServiceSynchronize, params))
			return alwayson.OK(alwayson.Value{}) // the request overtakes the answer
		}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Minute)
		code, resp := p.last().only(id)
		table := resp.Content.Table()
		if code != alwayson.Success || table.Len() != 1 || table.Cell(0, "name").Text() != "temp" || table.Cell(0, "value").Unwrap().Number() != 3.5 {
			t.Errorf("answered %v %v", code, resp)
		}
		if got := h.all(); got != "up; a binding; a bound; a subscribed" {
			t.Errorf("events: %s", got)
		}
		if asked != 0 {
			t.Errorf("asked %d times although the platform had told", asked)
		}
	})
}

func TestSynchronisationEndsWithTheBinding(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		asked := 0
		p.request = func(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response {
			asked++
			return alwayson.Fail(alwayson.NotFound, "no such Thing")
		}
		h := &recorder{}
		c := p.start(h, nil)
		c.Want("a", "b")
		pass(time.Minute)
		if asked < 6 {
			t.Errorf("asked %d times in a minute, want repetitions", asked)
		}
		c.Unwant("a", "b")
		pass(time.Second)
		asked = 0
		pass(time.Hour)
		if asked != 0 || strings.Contains(h.all(), "subscribed") {
			t.Errorf("asked %d times for Things that are not wanted; events %s", asked, h.all())
		}
	})
}
