package rest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How a request ended.
const (
	outcomeOK           = "ok"
	outcomeLocal        = "local"          // answered by the bridge itself
	outcomeRefused      = "platform_error" // an error of the platform's
	outcomeInvalid      = "invalid"        // 400, 404, 405, 406, 413, 415, 421 of the bridge's own
	outcomeUnauthorized = "unauthorized"
	outcomeDenied       = "denied"      // not among rest.allow, or from another site's page
	outcomeUnavailable  = "unavailable" // no connection
	outcomeFull         = "full"
	outcomeTimeout      = "timeout"
	outcomeLost         = "lost" // the connection ended before the answer, or the answer could not be read
	outcomeGone         = "gone" // the caller left
)

var outcomes = []string{outcomeOK, outcomeLocal, outcomeRefused, outcomeInvalid, outcomeUnauthorized, outcomeDenied,
	outcomeUnavailable, outcomeFull, outcomeTimeout, outcomeLost, outcomeGone}

// Metrics are the figures of the listeners of one bridge, present and former.
type Metrics struct {
	requests    map[string]prometheus.Counter
	seconds     prometheus.Histogram
	connections prometheus.Counter
	inFlight    atomic.Int64
}

// NewMetrics makes and registers them; with a nil reg they are counted and not shown.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "thingbridge", Subsystem: "rest", Name: name, Help: help}
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts(opts("requests_total", "Requests to the REST listener by their end.")), []string{"outcome"})
	m := &Metrics{
		requests: map[string]prometheus.Counter{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "thingbridge", Subsystem: "rest", Name: "request_seconds",
			Help: "Time from a REST request's header to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		connections: prometheus.NewCounter(prometheus.CounterOpts(opts("connections_refused_total", "Requests answered 503 because too many connections to the REST listener were open."))),
	}
	for _, o := range outcomes {
		m.requests[o] = requests.WithLabelValues(o)
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("requests_in_flight", "REST requests under way.")), func() float64 { return float64(m.inFlight.Load()) })
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{requests, m.seconds, m.connections, gauge} {
		if err := reg.Register(c); err != nil {
			errs = append(errs, fmt.Errorf("metrics: %w", err))
		}
	}
	return m, errors.Join(errs...)
}

func (m *Metrics) ended(outcome string, took time.Duration) {
	m.requests[outcome].Inc()
	m.seconds.Observe(took.Seconds())
}
