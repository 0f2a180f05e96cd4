package bridge

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the Bridge's own. Label values are of closed sets, but for rule
// and profile, which are bounded by the configuration and cut off at maxRules
// and maxProfiles. A scrape walks over nothing and takes none of the locks that messages
// need, so that none waits for it.
type metrics struct {
	messages        prometheus.Counter
	byProfile       *prometheus.CounterVec
	heldValues      *prometheus.CounterVec
	announcements   prometheus.Counter
	late            prometheus.Counter
	values          *prometheus.CounterVec
	droppedValues   *prometheus.CounterVec
	events          *prometheus.CounterVec
	pushes          prometheus.Counter
	pushRetries     prometheus.Counter
	pushSeconds     prometheus.Histogram
	calls           *prometheus.CounterVec
	callSeconds     *prometheus.HistogramVec
	repliesLost     *prometheus.CounterVec
	rejections      *prometheus.CounterVec
	upwards         *prometheus.CounterVec
	upwardLost      prometheus.Counter
	bindRefused     prometheus.Counter
	asks            prometheus.Counter
	asksDropped     prometheus.Counter
	storeErrors     prometheus.Counter
	promisesDropped *prometheus.CounterVec
	watchdog        prometheus.Counter
	provisions      *prometheus.CounterVec
	sessionEvents   *prometheus.CounterVec

	b        *Bridge
	things   *prometheus.Desc
	flight   *prometheus.Desc
	queue    *prometheus.Desc
	flying   *prometheus.Desc
	promised *prometheus.Desc
	up       *prometheus.GaugeVec
	since    *prometheus.GaugeVec

	rules, profiles labelSet
}

// labelSet bounds the values of a label: those over the bound are "other".
type labelSet struct {
	bound int

	// mu guards the following.
	mu   sync.Mutex
	seen map[string]struct{}
}

func (s *labelSet) label(value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[value]; ok {
		return value
	}
	if len(s.seen) >= s.bound {
		return "other"
	}
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	s.seen[value] = struct{}{}
	return value
}

const (
	maxRules    = 500
	maxProfiles = 200
)

func newMetrics(b *Bridge) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "thingbridge", Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "thingbridge", Name: name, Help: help}, labels)
	}
	gauge := func(name, help, label string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "thingbridge", Name: name, Help: help}, []string{label})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("thingbridge_"+name, help, labels, nil)
	}
	return &metrics{
		messages:      counter("messages_total", "MQTT messages received."),
		byProfile:     vec("profile_messages_total", "MQTT messages by profile, in: received by one of its rules, and out: sent to its devices.", "profile", "direction"),
		heldValues:    vec("values_held_total", "Property values that had to wait in the outbox when they came, by the state of their Thing.", "state"),
		announcements: counter("announcements_total", "Announcements received, repetitions included."),
		late:          counter("announcements_delayed_total", "Announcements over limits.announcements_per_second, which waited."),
		values:        vec("values_total", "Property values by what became of them.", "outcome"),
		droppedValues: vec("values_dropped_total", "Property values and records that came to nothing, by reason.", "reason"),
		events:        vec("events_total", "Events by what became of them.", "outcome"),
		pushes:        counter("pushes_total", "Pushes sent to the platform."),
		pushRetries:   counter("push_retries_total", "Pushes that failed and are sent again."),
		pushSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "thingbridge", Name: "push_seconds",
			Help: "Time from a push to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
		calls: vec("calls_total", "Service calls, property writes and reads by their end.", "kind", "outcome"),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "thingbridge", Name: "call_seconds",
			Help: "Time from a request to its end, of those that went to a device.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, []string{"kind"}),
		repliesLost:     vec("replies_ignored_total", "Replies that answered no call, by reason.", "reason"),
		rejections:      vec("rejected_total", "Messages, values and announcements refused, by rule and reason.", "rule", "reason"),
		upwards:         vec("upward_calls_total", "Devices' calls to the platform by their end.", "outcome"),
		upwardLost:      counter("upward_replies_lost_total", "Replies to devices' calls to the platform that the broker did not take in time."),
		bindRefused:     counter("binds_refused_total", "Refusals of a bind by the platform."),
		asks:            counter("asks_total", "Questions sent to devices."),
		asksDropped:     counter("asks_dropped_total", "Questions dropped because too many waited."),
		promisesDropped: vec("promised_writes_dropped_total", "Writes to sleeping devices that were answered and came to nothing, by reason.", "reason"),
		storeErrors:     counter("registry_errors_total", "Failed writes of the registry."),
		watchdog:        counter("watchdog_reconnects_total", "Platform connections dropped because no push was answered."),
		provisions:      vec("provisions_total", "Attempts to create a Thing on the platform, by their end.", "outcome"),
		sessionEvents:   vec("session_events_total", "What happened in protocols whose messages are numbered, such as Sparkplug B.", "session", "event"),
		b:               b,
		things:          desc("things", "Registered Things by state.", "state"),
		flight:          desc("calls_in_flight", "Calls, writes and reads in flight."),
		promised:        desc("promised_writes", "Writes that were answered and wait for their sleeping device."),
		queue:           desc("pushes_in_flight", "Pushes in flight to the platform."),
		flying:          desc("upward_calls_in_flight", "Devices' calls to the platform in flight."),
		up:              gauge("link_up", "1 while the connection stands, by link.", "link"),
		since:           gauge("link_since_timestamp_seconds", "When the connection was made, or lost, in seconds since 1970, by link.", "link"),
		rules:           labelSet{bound: maxRules},
		profiles:        labelSet{bound: maxProfiles},
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.messages, m.byProfile, m.heldValues, m.announcements, m.late, m.values, m.droppedValues, m.events, m.pushes,
		m.pushRetries, m.pushSeconds, m.calls, m.callSeconds, m.repliesLost, m.rejections, m.upwards, m.upwardLost, m.bindRefused, m.asks,
		m.asksDropped, m.storeErrors, m.promisesDropped, m.watchdog, m.provisions, m.sessionEvents, m.up, m.since, m} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Describe implements prometheus.Collector for what is counted when asked.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.things
	ch <- m.flight
	ch <- m.queue
	ch <- m.promised
	ch <- m.flying
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for state, n := range m.b.tally.counts() {
		ch <- prometheus.MustNewConstMetric(m.things, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(m.flight, prometheus.GaugeValue, float64(m.b.relay.inFlight()))
	ch <- prometheus.MustNewConstMetric(m.queue, prometheus.GaugeValue, float64(m.b.sched.pushing()))
	ch <- prometheus.MustNewConstMetric(m.promised, prometheus.GaugeValue, float64(m.b.relay.promised.Load()))
	ch <- prometheus.MustNewConstMetric(m.flying, prometheus.GaugeValue, float64(m.b.up.inFlight()))
}

// The links, as a metric's label has them.
const (
	linkBroker   = "broker"
	linkPlatform = "platform"
)

// link tells that a connection was made or lost.
func (m *metrics) link(name string, up bool, since time.Time) {
	m.up.WithLabelValues(name).Set(float64(boolByte(up)))
	m.since.WithLabelValues(name).Set(float64(since.UnixMilli()) / 1000)
}

// received counts a message by the profiles whose rules hear it.
func (m *metrics) received(profiles []string) {
	m.messages.Inc()
	for _, p := range profiles {
		m.byProfile.WithLabelValues(m.profiles.label(p), "in").Inc()
	}
}

// sent counts a message to a device of a profile.
func (m *metrics) sent(profile string) {
	m.byProfile.WithLabelValues(m.profiles.label(profile), "out").Inc()
}

// held counts values that wait, since their Thing is not ready.
func (m *metrics) held(state stateNumber, n int) {
	m.heldValues.WithLabelValues(stateNames[state]).Add(float64(n))
}

func (m *metrics) value(outcome string, n int) { m.values.WithLabelValues(outcome).Add(float64(n)) }

func (m *metrics) dropped(reason string, n int) {
	m.droppedValues.WithLabelValues(reason).Add(float64(n))
}

func (m *metrics) event(outcome string) { m.events.WithLabelValues(outcome).Inc() }

// call counts the end of a call; took is 0 for one that did not go to a device.
func (m *metrics) call(kind, outcome string, took time.Duration) {
	m.calls.WithLabelValues(kind, outcome).Inc()
	if took > 0 {
		m.callSeconds.WithLabelValues(kind).Observe(took.Seconds())
	}
}

func (m *metrics) upward(outcome string) { m.upwards.WithLabelValues(outcome).Inc() }

func (m *metrics) ignored(reason string) { m.repliesLost.WithLabelValues(reason).Inc() }

func (m *metrics) reject(rule, reason string) {
	m.rejections.WithLabelValues(m.rules.label(rule), reason).Inc()
}
