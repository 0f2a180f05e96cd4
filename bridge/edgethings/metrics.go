package edgethings

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/edge/alwayson"
)

// Metrics are what a Manager counts. They may be shown where there is none, as zeros.
type Metrics struct {
	of            atomic.Pointer[Manager]
	registrations *prometheus.CounterVec
	probes        *prometheus.CounterVec
	requests      *prometheus.CounterVec
	seconds       prometheus.Histogram
	things        *prometheus.Desc
	flight        *prometheus.Desc
}

// NewMetrics makes and registers them; with a nil reg they are counted and not shown.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "thingbridge", Subsystem: "edge", Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	x := &Metrics{
		registrations: vec("registrations_total", "Registrations of edge things at LocalEms by what became of them.", "outcome", "added", "refused", "removed"),
		probes:        vec("probes_total", "Keep-alive requests to agents of edge things by their end.", "outcome", "ok", "failed"),
		requests:      vec("requests_total", "Requests of the platform to edge things by their end.", "outcome", "ok", "agent_error", "timeout", "unavailable", "refused"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "thingbridge", Subsystem: "edge", Name: "request_seconds",
			Help: "Time from a request to an edge thing to its end.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
		things: prometheus.NewDesc("thingbridge_edge_things", "Edge things by the state of their agents.", []string{"agent"}, nil),
		flight: prometheus.NewDesc("thingbridge_edge_requests_in_flight", "Requests of the platform to edge things in flight.", nil, nil),
	}
	if reg == nil {
		return x, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{x.registrations, x.probes, x.requests, x.seconds, x} {
		if err := reg.Register(c); err != nil {
			errs = append(errs, fmt.Errorf("edge things: metrics: %w", err))
		}
	}
	return x, errors.Join(errs...)
}

// Describe implements prometheus.Collector for what is counted when asked.
func (x *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- x.things
	ch <- x.flight
}

// Collect implements prometheus.Collector.
func (x *Metrics) Collect(ch chan<- prometheus.Metric) {
	var n [silent + 1]int
	flight := 0
	if m := x.of.Load(); m != nil {
		m.mu.Lock()
		for _, t := range m.things {
			n[t.state]++
		}
		flight = m.inFlight
		m.mu.Unlock()
	}
	for s, count := range n {
		ch <- prometheus.MustNewConstMetric(x.things, prometheus.GaugeValue, float64(count), state(s).String())
	}
	ch <- prometheus.MustNewConstMetric(x.flight, prometheus.GaugeValue, float64(flight))
}

func (x *Metrics) registration(outcome string) { x.registrations.WithLabelValues(outcome).Inc() }

func (x *Metrics) probe(ok bool) {
	outcome := "failed"
	if ok {
		outcome = "ok"
	}
	x.probes.WithLabelValues(outcome).Inc()
}

// request counts the end of a request; took is 0 for one that went to no agent.
func (x *Metrics) request(outcome string, took time.Duration) {
	x.requests.WithLabelValues(outcome).Inc()
	if took > 0 {
		x.seconds.Observe(took.Seconds())
	}
}

func outcomeOf(code alwayson.Code) string {
	switch {
	case code.IsSuccess():
		return "ok"
	case code == alwayson.GatewayTimeout:
		return "timeout"
	case code == alwayson.ServiceUnavailable:
		return "unavailable"
	}
	return "agent_error"
}
