package main

import (
	"encoding/json"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"thingbridge/bridge/ownthing"
	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/edge/alwayson"
)

// boundAsItself gives the name that the bridge binds for itself; "" for none.
// With a gateway type it is the connection that shows as a Thing, and nothing is bound.
func boundAsItself(c *config.Config) string {
	if c.Platform.Gateway.Type != "" {
		return ""
	}
	return c.Platform.Gateway.Name
}

// reserveOwn keeps the name of the bridge's own Thing from devices, instead of
// the one that it had before.
func (a *app) reserveOwn(before, name string) {
	if before == name {
		return
	}
	if before != "" {
		a.bridge.Release(before)
	}
	if name == "" {
		return
	}
	err := a.bridge.Reserve(name, "the bridge itself (platform.gateway.name)")
	if _, taken := a.bridge.Thing(name); err != nil && taken { // else no device can get it anyway
		a.log.Warn("the bridge's own thing has a device's name; choose another platform.gateway.name", "thing", name, "error", err)
	}
}

func selfOptions(c *config.Config, a *app, next edge.Handler) ownthing.Options {
	figures := figureSource{app: a, started: time.Now()}
	return ownthing.Options{
		Name:        c.Platform.Gateway.Name,
		Description: "thingbridge " + version,
		InfoTopic:   topicRoot(c) + "/info",
		Figures:     figures.all,
		Status: func() []byte {
			text, err := json.Marshal(consoleSource{a}.Status())
			if err != nil {
				return []byte("{}")
			}
			return text
		},
		Next:   next,
		Logger: a.log.With("part", "bridge"),
	}
}

// figureSource reads what the bridge says of itself from its metrics.
type figureSource struct {
	app     *app
	started time.Time
}

// summed are the figures that are sums of a metric's series, those with the
// label as given where one is.
var summed = []struct{ name, unit, metric, label, description string }{
	{"thingsWanted", "", "platform_things_wanted", "", "Things that should be bound"},
	{"thingsBound", "", "platform_things_bound", "", "Things that are bound"},
	{"thingsRefused", "", "platform_things_refused", "", "Things that the platform refuses to bind"},
	{"thingsOffline", "", "things", "state=offline", "Things whose device is not there"},
	{"messagesReceived", "", "messages_total", "", "MQTT messages received since the start"},
	{"valuesReceived", "", "values_total", "outcome=received", "property values received since the start"},
	{"valuesSent", "", "values_total", "outcome=sent", "property values that the platform took since the start"},
	{"valuesLost", "", "outbox_dropped_total", "reason!=folded", "values and events that were dropped because the outbox was full or they were too old, since the start"},
	{"messagesRefused", "", "rejected_total", "", "messages, values and announcements that could not be used, since the start"},
	{"calls", "", "calls_total", "", "service calls, writes and reads that ended since the start"},
	{"callsTimedOut", "", "calls_total", "outcome=timeout", "of these, those that the device did not answer in time"},
	{"callsInFlight", "", "calls_in_flight", "", "calls, writes and reads that wait for a device"},
	{"queueRecords", "", "outbox_records", "", "values and events that wait for the platform"},
	{"queueBytes", "B", "outbox_bytes", "", "the same in bytes"},
	{"queueAge", "s", "outbox_oldest_seconds", "", "how long the oldest of them waits"},
	{"diskFailing", "", "outbox_failing", "", "1 while the disk does not write"},
	{"brokerSessions", "", "mqtt_sessions_total", "", "connections to the broker since the start"},
	{"platformReconnects", "", "platform_reconnects_total", "", "connections to the platform after the first since the start"},
	{"memory", "B", "process_resident_memory_bytes", "", "memory of the process"},
}

func (s figureSource) all() []ownthing.Figure {
	at := func(t time.Time) alwayson.Value { return alwayson.NewDateTime(t.UnixMilli()) }
	bus := s.app.bus.Status()
	since := bus.Since
	if since.IsZero() {
		since = s.started
	}
	figures := []ownthing.Figure{
		{Name: "version", Description: "of thingbridge", Value: alwayson.NewString(version)},
		{Name: "started", Description: "when the bridge started", Value: at(s.started)},
		{Name: "brokerUp", Description: "the connection to the broker stands", Value: alwayson.NewBoolean(bus.Up)},
		{Name: "brokerSince", Description: "since when it stands, or does not", Value: at(since)},
		{Name: "platformSince", Description: "since when the connection to the platform stands, or does not", Value: at(s.app.client.Status().Since)},
	}
	// What cannot be gathered is left out; the rest is still right.
	families, _ := s.app.registry.Gather()
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[strings.TrimPrefix(f.GetName(), "thingbridge_")] = f
	}
	for _, c := range summed {
		figures = append(figures, ownthing.Figure{Name: c.name, Description: c.description, Unit: c.unit,
			Value: alwayson.NewNumber(sumOf(byName[c.metric], c.label))})
	}
	return figures
}

// sumOf adds up a metric's series, of which label, name=value or name!=value, is
// true; no series are 0.
func sumOf(f *dto.MetricFamily, label string) (total float64) {
	name, value, _ := strings.Cut(label, "=")
	name, unequal := strings.CutSuffix(name, "!")
	for _, m := range f.GetMetric() {
		fits := label == ""
		for _, l := range m.GetLabel() {
			fits = fits || l.GetName() == name && (l.GetValue() == value) != unequal
		}
		if fits {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}
