package edge

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/edge/alwayson"
)

// How a call to the platform ended.
const (
	outcomeSuccess  = "success"
	outcomeRefused  = "refused"   // an error status
	outcomeNoAnswer = "no_answer" // the time ran out
	outcomeLost     = "lost"      // the connection ended first
	outcomeSpoilt   = "unusable"  // the answer could not be decoded
	outcomeForeign  = "unknown"   // an answer that no call waited for: late, or never asked for
	outcomeNotSent  = "not_sent"  // not connected, too many, or too large
)

// Why something received could not be used.
const (
	badHeader = "header"
	badBody   = "body"
	badParts  = "multipart"
	badSize   = "size"
	badText   = "text"
)

// metrics are the client's figures. They count from the start of the process,
// over all connections.
type metrics struct {
	messagesIn, messagesOut prometheus.Counter
	bytesIn, bytesOut       prometheus.Counter
	writes                  prometheus.Counter
	reconnects              prometheus.Counter
	bindRefusals, binds     prometheus.Counter
	requests                *prometheus.CounterVec
	calls                   map[string]prometheus.Counter
	bad                     map[string]prometheus.Counter
}

// gauges are read when somebody asks.
type gauges struct{ connected, sessionSeconds, queueBytes, wanted, bound, refused func() float64 }

func newMetrics(reg prometheus.Registerer, g gauges) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "thingbridge", Subsystem: "platform", Name: name, Help: help})
		all = append(all, c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "thingbridge", Subsystem: "platform", Name: name, Help: help}, []string{label})
		all = append(all, c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "thingbridge", Subsystem: "platform", Name: name, Help: help}, f))
	}
	m := &metrics{
		messagesIn:   counter("messages_received_total", "WebSocket messages received from the platform."),
		messagesOut:  counter("messages_sent_total", "WebSocket messages written to the platform; divided by writes_total, how many went in one write."),
		bytesIn:      counter("received_bytes_total", "Bytes received from the platform, before decompression."),
		bytesOut:     counter("sent_bytes_total", "Bytes written to the platform, after compression."),
		writes:       counter("writes_total", "Writes to the network."),
		reconnects:   counter("reconnects_total", "Authenticated connections after the first."),
		binds:        counter("binds_total", "BIND messages sent."),
		bindRefusals: counter("bind_refusals_total", "BIND messages that the platform refused."),
		requests:     vec("requests_served_total", "Requests of the platform by the code of our answer.", "code"),
		calls:        map[string]prometheus.Counter{},
		bad:          map[string]prometheus.Counter{},
	}
	calls := vec("calls_total", "Requests to the platform by outcome; \"unknown\" are answers that no call waited for.", "outcome")
	for _, o := range []string{outcomeSuccess, outcomeRefused, outcomeNoAnswer, outcomeLost, outcomeSpoilt, outcomeForeign, outcomeNotSent} {
		m.calls[o] = calls.WithLabelValues(o)
	}
	bad := vec("undecodable_total", "Messages from the platform that could not be used, by what was wrong.", "part")
	for _, p := range []string{badHeader, badBody, badParts, badSize, badText} {
		m.bad[p] = bad.WithLabelValues(p)
	}
	gauge("connected", "1 while there is an authenticated connection.", g.connected)
	gauge("session_seconds", "Age of the present connection.", g.sessionSeconds)
	gauge("queue_bytes", "Bytes that wait to be written.", g.queueBytes)
	gauge("things_wanted", "Things that should be bound.", g.wanted)
	gauge("things_bound", "Things that are bound.", g.bound)
	gauge("things_refused", "Things whose BIND the platform refused.", g.refused)
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			errs = append(errs, fmt.Errorf("metrics: %w", err))
		}
	}
	return m, errors.Join(errs...)
}

func (m *metrics) call(outcome string)     { m.calls[outcome].Inc() }
func (m *metrics) undecodable(part string) { m.bad[part].Inc() }
func (m *metrics) request(c alwayson.Code) { m.requests.WithLabelValues(c.String()).Inc() }
