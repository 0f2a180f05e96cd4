package outbox

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meter holds an outbox's metrics. The gauges are read from its Status.
type meter struct {
	appended, diskReads, failures prometheus.Counter
	commits                       prometheus.Histogram
	registerer                    prometheus.Registerer
	collectors                    []prometheus.Collector
}

func newMeter() *meter {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "thingbridge_outbox_" + name, Help: help})
	}
	return &meter{
		appended:  counter("appended_total", "Records taken into the outbox."),
		diskReads: counter("disk_reads_total", "Records read back from disk because they were no longer in RAM."),
		failures:  counter("write_failures_total", "Transactions that the disk refused."),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "thingbridge_outbox_commit_seconds", Help: "Time of one transaction, with its fsync.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}),
	}
}

// register makes the metrics known; status gives the gauges.
func (m *meter) register(r prometheus.Registerer, status func() Status) error {
	if r == nil {
		return nil
	}
	m.registerer = r
	all := []prometheus.Collector{m.appended, m.diskReads, m.failures, m.commits, &gauges{status: status}}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			m.unregister()
			return errors.Join(errors.New("register the outbox's metrics"), err)
		}
		m.collectors = append(m.collectors, c)
	}
	return nil
}

func (m *meter) unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
	m.collectors = nil
}

var (
	descRecords = gaugeDesc("records", "Records in the outbox.")
	descBytes   = gaugeDesc("bytes", "Bytes in the outbox, names and 64 bytes for each record included.")
	descMax     = gaugeDesc("max_bytes", "The bound of thingbridge_outbox_bytes.")
	descThings  = gaugeDesc("things", "Things that have records in the outbox.")
	descWaiting = gaugeDesc("waiting", "Messages that are not acknowledged to the broker yet because the outbox does not keep them yet.")
	descAge     = gaugeDesc("oldest_seconds", "Age of the oldest record; 0 when there is none.")
	descFile    = gaugeDesc("file_bytes", "Size of the outbox's file; 0 in memory mode.")
	descFailing = gaugeDesc("failing", "1 while the disk does not write, else 0.")
	descDropped = prometheus.NewDesc("thingbridge_outbox_dropped_total", "Records dropped, by reason.", []string{"reason"}, nil)
)

func gaugeDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("thingbridge_outbox_"+name, help, nil, nil)
}

type gauges struct{ status func() Status }

func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRecords, descBytes, descMax, descThings, descWaiting, descAge, descFile, descFailing, descDropped} {
		ch <- d
	}
}

func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	s := g.status()
	put := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	put(descRecords, float64(s.Records))
	put(descBytes, float64(s.Bytes))
	put(descMax, float64(s.MaxBytes))
	put(descThings, float64(s.Things))
	put(descWaiting, float64(s.Waiting))
	age, failing := 0.0, 0.0
	if !s.Oldest.IsZero() {
		age = max(time.Since(s.Oldest).Seconds(), 0)
	}
	if s.Err != nil {
		failing = 1
	}
	put(descAge, age)
	put(descFile, float64(s.FileSize))
	put(descFailing, failing)
	for _, reason := range []string{ReasonFull, ReasonExpired, ReasonFolded} {
		ch <- prometheus.MustNewConstMetric(descDropped, prometheus.CounterValue, float64(s.Dropped[reason]), reason)
	}
}
