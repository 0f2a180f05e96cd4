package main

import (
	"strings"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
	"thingbridge/config"
)

// What the console's page asks for, beside what its programs do.

func (s consoleSource) Calls() []bridge.CallInFlight { return s.app.bridge.CallsInFlight() }

func (s consoleSource) Trace(f bridge.TraceFilter) *bridge.Trace { return s.app.bridge.Trace(f) }

// Settings prints the configuration in force as "config print" does.
func (s consoleSource) Settings() (console.Settings, error) {
	c := s.app.reload.current.Load()
	text, err := config.Print(c)
	return console.Settings{File: c.File, Text: string(text)}, err
}

// Notices tells how the last reload of the configuration ended.
func (s consoleSource) Notices() []console.Notice {
	last := s.app.reload.status().Last
	if last == nil {
		return nil
	}
	n := console.Notice{Time: last.Time, Level: console.LevelOK, Title: "The configuration was reloaded (" + last.Why + ")."}
	if len(last.Changed) > 0 {
		n.Lines = append(n.Lines, "in force now: "+strings.Join(last.Changed, ", "))
	}
	if len(last.Restart) > 0 {
		n.Level = console.LevelWarn
		n.Lines = append(n.Lines, "restart the bridge for: "+strings.Join(last.Restart, ", "))
	}
	if !last.OK {
		n.Level, n.Lines = console.LevelError, last.Problems
		n.Title = "The new configuration was refused (" + last.Why + "); the one before stays in force."
	}
	return []console.Notice{n}
}

// Facts gathers what the page's advice is made of.
func (s consoleSource) Facts() console.Facts {
	b, p, o := s.app.bus.Status(), s.app.client.Status(), s.app.outbox.Status()
	links := s.Links()
	f := console.Facts{
		Now: time.Now(), Config: s.app.reload.current.Load(),
		Broker:         console.LinkFacts{Up: b.Up, Since: b.Since, Reason: links[0].Reason},
		Platform:       console.LinkFacts{Up: p.Connected, Since: p.Since, Reason: links[1].Reason},
		RefusedFilters: b.Filters, Bridge: s.app.bridge.Status(), Findings: s.app.bridge.Findings(), Rejections: s.app.bridge.Rejections(),
		OutboxBytes: o.Bytes, OutboxMax: o.MaxBytes, OutboxDropped: o.Dropped,
	}
	for _, l := range []*console.LinkFacts{&f.Broker, &f.Platform} {
		if l.Since.IsZero() { // never up yet
			l.Since = f.Bridge.Started
		}
	}
	if o.Err != nil {
		f.OutboxError = o.Err.Error()
	}
	return f
}

// Sample takes the present figures for the history.
func (s consoleSource) Sample() console.Sample {
	p := s.app.client.Status()
	sample := console.Sample{Counters: s.app.bridge.Counters(), Broker: s.app.bus.Status().Up, Platform: p.Connected,
		Bound: p.Bound, InFlight: s.app.bridge.CallCount()}
	sample.Records, sample.Bytes, _ = s.app.outbox.Depth("")
	return sample
}
