package bridge

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Counters are the Bridge's sums since its start, for rates.
type Counters struct {
	Messages float64 // MQTT messages received
	Values   map[string]float64
	Dropped  float64 // values that came to nothing
	Rejected float64 // messages and values refused
	Events   float64 // events that the platform has
	Calls    float64 // calls, writes and reads that ended
	Failed   float64 // of these, not well
	Push     Latency // from a push to its answer
	Call     Latency // from a request to a device to its end
}

// Latency is a histogram: how many took at most so many seconds.
type Latency struct {
	Bounds []float64 // upper, ascending
	Counts []uint64  // cumulative, as Bounds
	Count  uint64
	Sum    float64 // seconds
}

// Counters reads the sums.
func (b *Bridge) Counters() Counters {
	m := b.metrics
	c := Counters{Values: map[string]float64{}}
	read(m.messages, func(d *dto.Metric) { c.Messages = d.GetCounter().GetValue() })
	read(m.values, func(d *dto.Metric) { c.Values[label(d, "outcome")] += d.GetCounter().GetValue() })
	read(m.droppedValues, func(d *dto.Metric) {
		if label(d, "reason") != "retained_unchanged" {
			c.Dropped += d.GetCounter().GetValue()
		}
	})
	read(m.rejections, func(d *dto.Metric) { c.Rejected += d.GetCounter().GetValue() })
	read(m.events, func(d *dto.Metric) {
		if label(d, "outcome") == "sent" {
			c.Events += d.GetCounter().GetValue()
		}
	})
	read(m.calls, func(d *dto.Metric) {
		n := d.GetCounter().GetValue()
		c.Calls += n
		if outcome := label(d, "outcome"); outcome != "ok" && outcome != "superseded" {
			c.Failed += n
		}
	})
	read(m.pushSeconds, func(d *dto.Metric) { c.Push.add(d.GetHistogram()) })
	read(m.callSeconds, func(d *dto.Metric) { c.Call.add(d.GetHistogram()) })
	return c
}

func (l *Latency) add(h *dto.Histogram) {
	if l.Bounds == nil {
		l.Bounds, l.Counts = make([]float64, len(h.GetBucket())), make([]uint64, len(h.GetBucket()))
	}
	for i, b := range h.GetBucket() {
		l.Bounds[i] = b.GetUpperBound()
		l.Counts[i] += b.GetCumulativeCount()
	}
	l.Count += h.GetSampleCount()
	l.Sum += h.GetSampleSum()
}

// read calls each for every series of a metric.
func read(c prometheus.Collector, each func(*dto.Metric)) {
	ch := make(chan prometheus.Metric, 64)
	go func() {
		defer close(ch)
		c.Collect(ch)
	}()
	for m := range ch {
		var d dto.Metric
		if m.Write(&d) == nil {
			each(&d)
		}
	}
}

func label(d *dto.Metric, name string) string {
	for _, l := range d.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
