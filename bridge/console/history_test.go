package console

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
)

func TestTheHistoryHasSecondsAndMinutesAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		h := NewHistory(s)
		start := time.Now()
		h.lastAt, h.minuteAt = start, start
		const seconds = 2*24*3600 + 30 // two days and a half minute
		for i := range seconds {
			time.Sleep(time.Second)
			s.sample.Messages += 10
			s.sample.Values = map[string]float64{"sent": 5 * float64(i+1)}
			s.sample.Platform, s.sample.Broker = true, i%2 == 0
			s.sample.Records = i % 60
			h.sample(time.Now())
		}
		a := h.answer(false, time.Time{})
		if len(a.Points) != secondPoints || a.Points[0].v[fieldMessages] != 10 || a.Points[599].v[fieldSent] != 5 || !a.Points[599].at.Equal(time.Now()) {
			t.Errorf("%d seconds, the last %+v", len(a.Points), a.Points[len(a.Points)-1])
		}
		if n := len(h.answer(false, time.Now().Add(-5*time.Second)).Points); n != 5 {
			t.Errorf("%d points are newer than 5 seconds", n)
		}
		a = h.answer(true, time.Time{})
		last := a.Points[len(a.Points)-1]
		if len(a.Points) != minutePoints || last.v[fieldMessages] != 10 || last.v[fieldBroker] != 0.5 || last.v[fieldPlatform] != 1 || last.v[fieldRecords] != 59 {
			t.Errorf("%d minutes, the last %+v", len(a.Points), last)
		}
	})
}

func TestLatenciesAreThoseOfTheTimeBetween(t *testing.T) {
	bounds := []float64{0.001, 0.002, 0.004}
	before := bridge.Latency{Bounds: bounds, Counts: []uint64{100, 100, 100}, Count: 100}
	after := bridge.Latency{Bounds: bounds, Counts: []uint64{100, 110, 119}, Count: 120}
	for name, c := range map[string]struct {
		a, b bridge.Latency
		q    float64
		want string
	}{
		"half":                    {before, after, 0.5, "2"},
		"a quarter":               {before, after, 0.25, "1.5"},
		"nearly all":              {before, after, 0.95, "4"},
		"above the last bound":    {before, after, 1, "4"},
		"nothing between":         {after, after, 0.5, "null"},
		"nothing ever":            {bridge.Latency{}, bridge.Latency{}, 0.5, "null"},
		"the first are there now": {bridge.Latency{}, before, 0.5, "0.5"},
		"the sums went back":      {after, before, 0.5, "null"},
	} {
		var p pointValue
		p.v[0] = quantile(&c.a, &c.b, c.q)
		b, err := json.Marshal(p)
		var list []json.RawMessage
		if err != nil || json.Unmarshal(b, &list) != nil || len(list) != int(fields)+1 || string(list[1]) != c.want {
			t.Errorf("%s: %s %v, want %s", name, b, err, c.want)
		}
	}
}
