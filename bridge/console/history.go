package console

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"

	"thingbridge/bridge"
)

// The history has a point each second for ten minutes and one each minute for a day.
const (
	secondPoints = 600
	minutePoints = 24 * 60
	minuteOf     = 60 // seconds in a minute's point
)

// field is one number of a point.
type field int

const (
	fieldMessages field = iota // per second, as all rates
	fieldSent
	fieldDropped
	fieldRejected
	fieldEvents
	fieldCalls
	fieldFailed
	fieldPush50 // milliseconds; no number where nothing was pushed
	fieldPush95
	fieldCall50
	fieldCall95
	fieldInFlight
	fieldRecords
	fieldBytes
	fieldBound
	fieldBroker // 1 up, 0 down; of a minute: the part of it
	fieldPlatform
	fields
)

var fieldNames = [fields]string{"messages", "sent", "dropped", "rejected", "events", "calls", "failed",
	"push50", "push95", "call50", "call95", "inFlight", "records", "bytes", "bound", "broker", "platform"}

// point is what was between the point before and at.
type point struct {
	at time.Time
	v  [fields]float32
}

// ring keeps the latest points.
type ring struct {
	list []point
	pos  int // of the oldest, when it is full
	most int
}

func (r *ring) add(p point) {
	if len(r.list) < r.most {
		r.list = append(r.list, p)
		return
	}
	r.list[r.pos] = p
	r.pos = (r.pos + 1) % r.most
}

// after gives the points after a time, oldest first.
func (r *ring) after(t time.Time) []point {
	var list []point
	for i := range r.list {
		if p := &r.list[(r.pos+i)%len(r.list)]; p.at.After(t) {
			list = append(list, *p)
		}
	}
	return list
}

// History samples a Source. It is made once and outlives the Consoles that show it.
type History struct {
	source Source

	// mu guards the following.
	mu      sync.Mutex
	seconds ring
	minutes ring

	// Run's own.
	last, minute     Sample
	lastAt, minuteAt time.Time
	up               [2]float32 // seconds of this minute in which broker, platform were up
	inFlight, most   float32    // the highest of this minute: calls, records
	ticks            int
}

// NewHistory makes a History that is empty until Run.
func NewHistory(s Source) *History {
	return &History{source: s, seconds: ring{most: secondPoints}, minutes: ring{most: minutePoints}}
}

// Run samples every second until ctx ends.
func (h *History) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	h.lastAt, h.last = time.Now(), h.source.Sample()
	h.minuteAt, h.minute = h.lastAt, h.last
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			h.sample(time.Now())
		}
	}
}

func (h *History) sample(now time.Time) {
	s := h.source.Sample()
	p := point{at: now, v: between(&h.last, &s, now.Sub(h.lastAt))}
	h.last, h.lastAt = s, now
	h.up[0] += p.v[fieldBroker]
	h.up[1] += p.v[fieldPlatform]
	h.inFlight, h.most = max(h.inFlight, p.v[fieldInFlight]), max(h.most, p.v[fieldRecords])
	h.ticks++
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seconds.add(p)
	if h.ticks < minuteOf {
		return
	}
	m := point{at: now, v: between(&h.minute, &s, now.Sub(h.minuteAt))}
	m.v[fieldBroker], m.v[fieldPlatform] = h.up[0]/float32(h.ticks), h.up[1]/float32(h.ticks)
	m.v[fieldInFlight], m.v[fieldRecords] = h.inFlight, h.most
	h.minutes.add(m)
	h.minute, h.minuteAt = s, now
	h.up, h.inFlight, h.most, h.ticks = [2]float32{}, 0, 0, 0
}

// between gives the numbers of the time between two samples.
func between(a, b *Sample, took time.Duration) (v [fields]float32) {
	rate := func(x, y float64) float32 { return float32(max(0, y-x) / max(took.Seconds(), 0.001)) }
	v[fieldMessages] = rate(a.Messages, b.Messages)
	v[fieldSent] = rate(a.Values["sent"], b.Values["sent"])
	v[fieldDropped] = rate(a.Dropped, b.Dropped)
	v[fieldRejected] = rate(a.Rejected, b.Rejected)
	v[fieldEvents] = rate(a.Events, b.Events)
	v[fieldCalls] = rate(a.Calls, b.Calls)
	v[fieldFailed] = rate(a.Failed, b.Failed)
	v[fieldPush50], v[fieldPush95] = quantile(&a.Push, &b.Push, 0.5), quantile(&a.Push, &b.Push, 0.95)
	v[fieldCall50], v[fieldCall95] = quantile(&a.Call, &b.Call, 0.5), quantile(&a.Call, &b.Call, 0.95)
	v[fieldInFlight] = float32(b.InFlight)
	v[fieldRecords] = float32(b.Records)
	v[fieldBytes] = float32(b.Bytes)
	v[fieldBound] = float32(b.Bound)
	v[fieldBroker], v[fieldPlatform] = one(b.Broker), one(b.Platform)
	return v
}

func one(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

// quantile gives, in milliseconds, what so much of the observations between a and b
// took at most; between the bounds of a histogram it is a straight line. It is no number
// where there were none.
func quantile(a, b *bridge.Latency, q float64) float32 {
	n := b.Count - a.Count
	if b.Count <= a.Count || len(b.Bounds) == 0 {
		return float32(math.NaN())
	}
	want := q * float64(n)
	var below, low float64
	for i, bound := range b.Bounds {
		up := float64(b.Counts[i])
		if i < len(a.Counts) {
			up -= float64(a.Counts[i])
		}
		if up >= want && up > below {
			return float32(1000 * (low + (bound-low)*(want-below)/(up-below)))
		}
		below, low = up, bound
	}
	return float32(1000 * low)
}

// historyAnswer is the answer of /api/v1/history.
type historyAnswer struct {
	Step   int          `json:"step"` // seconds between points
	Span   int          `json:"span"` // seconds that are kept
	Fields []string     `json:"fields"`
	Points []pointValue `json:"points"` // oldest first: time in ms, then a number for each field or null
}

type pointValue point

// MarshalJSON writes a list of numbers.
func (p pointValue) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt([]byte{'['}, p.at.UnixMilli(), 10)
	for _, x := range p.v {
		b = append(b, ',')
		if x != x {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, math.Round(float64(x)*1000)/1000, 'f', -1, 64)
		}
	}
	return append(b, ']'), nil
}

var _ json.Marshaler = pointValue{}

func (h *History) answer(minutes bool, after time.Time) historyAnswer {
	a := historyAnswer{Step: 1, Span: secondPoints, Fields: fieldNames[:], Points: []pointValue{}}
	r := &h.seconds
	if minutes {
		a.Step, a.Span, r = minuteOf, minutePoints*minuteOf, &h.minutes
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range r.after(after) {
		a.Points = append(a.Points, pointValue(p))
	}
	return a
}
