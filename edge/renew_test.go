package edge

import (
	"strings"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func TestRenewMakesANewConnectionAtOnceAndEndsTheOldInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{}
		c := p.start(h, func(o *Options) {
			o.ConnectBackoff = Backoff{Min: time.Hour, Max: time.Hour, Factor: 1}
		})
		c.Want("pump-1")
		pass(time.Millisecond)
		opt := *c.opt.Load()
		opt.PingInterval = 7 * time.Second
		if err := c.Reconfigure(opt); err != nil {
			t.Fatal(err)
		}
		c.Renew("the url changed")
		pass(3 * time.Second)
		if st := c.Status(); !st.Connected || st.Session != 2 || st.Bound != 1 {
			t.Errorf("status %+v", st)
		}
		if got := h.all(); !strings.Contains(got, "down") || !strings.HasSuffix(got, "pump-1 bound") {
			t.Errorf("events: %s", got)
		}
		if state, _ := c.BindState("pump-1"); state != alwayson.Bound {
			t.Errorf("pump-1 is %v", state)
		}
		if err := c.Reconfigure(Options{URL: "http://x"}); err == nil {
			t.Error("an address that is none is taken")
		}
	})
}
