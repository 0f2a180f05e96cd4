package mqttbus

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
)

// metrics are the bus's counters and gauges; every name starts with
// thingbridge_mqtt_. Children are looked up once.
type metrics struct {
	connected        prometheus.Gauge
	sessions         prometheus.Counter
	failures         prometheus.Counter
	received         [3]prometheus.Counter
	duplicates       prometheus.Counter
	bytesIn          prometheus.Counter
	bytesOut         prometheus.Counter
	dropped          map[dropReason]prometheus.Counter
	inboxMessages    prometheus.Gauge
	inboxBytes       prometheus.Gauge
	inboxPauses      prometheus.Counter
	unacked          prometheus.Gauge
	published        prometheus.Counter
	resent           prometheus.Counter
	publishFailed    map[string]prometheus.Counter
	queueMessages    prometheus.Gauge
	queueBytes       prometheus.Gauge
	inFlight         prometheus.Gauge
	filters          prometheus.Gauge
	filtersRefused   prometheus.Gauge
	refreshed        prometheus.Counter
	refreshesDropped prometheus.Counter
	statesAgain      prometheus.Counter
}

// dropReason is a metric label: why a received message was not handed over.
type dropReason string

const (
	dropInboxFull  dropReason = "inbox_full" // live, QoS 0, and the inbox is full
	dropTooLarge   dropReason = "too_large"  // over the payload limit
	dropBadTopic   dropReason = "bad_topic"  // the topic is empty, has wildcards, or is not UTF-8
	dropUnexpected dropReason = "unexpected" // came on the connection that subscribes nothing
	failExpired               = "expired"    // label of a publication's end
	failFull                  = "queue_full" // likewise
	failStopped               = "stopped"    // likewise
	failBadTopic              = "bad_topic"  // likewise
	metricPrefix              = "thingbridge_mqtt_"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	var all []prometheus.Collector
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: metricPrefix + name, Help: help})
		all = append(all, g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: metricPrefix + name, Help: help})
		all = append(all, c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricPrefix + name, Help: help}, []string{label})
		all = append(all, v)
		return v
	}
	m := &metrics{
		connected:        gauge("connected", "1 while both connections stand and every topic filter has been answered."),
		sessions:         counter("sessions_total", "Sessions (pairs of connections) that the broker accepted."),
		failures:         counter("connection_failures_total", "Attempts that failed and sessions that broke."),
		duplicates:       counter("duplicates_total", "Messages received with the DUP flag, that is delivered again."),
		bytesIn:          counter("received_bytes_total", "Bytes read from the broker."),
		bytesOut:         counter("sent_bytes_total", "Bytes written to the broker."),
		inboxMessages:    gauge("inbox_messages", "Messages received and not yet handed over."),
		inboxBytes:       gauge("inbox_bytes", "Topics and payloads of the messages in the inbox."),
		inboxPauses:      counter("inbox_pauses_total", "Times that reading paused because the inbox was full."),
		unacked:          gauge("unacked_messages", "QoS 1 messages of the present connection not yet acknowledged to the broker."),
		published:        counter("published_total", "Publications that the broker has confirmed."),
		resent:           counter("resent_total", "Publications not confirmed when a connection broke, to be sent again."),
		queueMessages:    gauge("publish_queue_messages", "Publications that wait or are in flight."),
		queueBytes:       gauge("publish_queue_bytes", "Topics and payloads of the publications in the queue."),
		inFlight:         gauge("publish_in_flight", "Publications sent and not confirmed."),
		filters:          gauge("filters", "Topic filters that are subscribed."),
		refreshed:        counter("refreshed_topics_total", "Topics subscribed once more so that the broker sends what it retains."),
		refreshesDropped: counter("refreshes_dropped_total", "Topics not subscribed once more because too many waited, or because they are none."),
		statesAgain:      counter("states_said_again_total", "Times that somebody took back what the bridge says of itself, and it was said again."),
		filtersRefused:   gauge("filters_refused", "Topic filters that the broker refuses."),
	}
	qos := vec("received_total", "Messages received, by quality of service.", "qos")
	for i := range m.received {
		m.received[i] = qos.WithLabelValues(string(rune('0' + i)))
	}
	dropped := vec("dropped_total", "Messages received and not handed over, by reason.", "reason")
	m.dropped = make(map[dropReason]prometheus.Counter)
	for _, r := range []dropReason{dropInboxFull, dropTooLarge, dropBadTopic, dropUnexpected} {
		m.dropped[r] = dropped.WithLabelValues(string(r))
	}
	failed := vec("publish_failures_total", "Publications that ended unconfirmed, by reason.", "reason")
	m.publishFailed = make(map[string]prometheus.Counter)
	for _, r := range []string{failExpired, failFull, failStopped, failBadTopic} {
		m.publishFailed[r] = failed.WithLabelValues(r)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// countEnd counts how a publication ended.
func (m *metrics) countEnd(err error) {
	switch {
	case err == nil:
		m.published.Inc()
	case errors.Is(err, bridge.ErrExpired):
		m.publishFailed[failExpired].Inc()
	case errors.Is(err, bridge.ErrBusFull):
		m.publishFailed[failFull].Inc()
	case errors.Is(err, bridge.ErrBusDown):
		m.publishFailed[failStopped].Inc()
	default:
		m.publishFailed[failBadTopic].Inc()
	}
}
