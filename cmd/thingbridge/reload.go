package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/config"
)

// reloadable is a part of the app that takes a changed configuration while it
// works. prepare makes ready what the part needs for now in place of old and
// changes nothing yet; an error refuses the whole configuration. What it gives
// takes effect by apply, or is let go by drop when another part refuses; either
// may be nil. All parts prepare before the first applies, in the order in which
// they were added. A part that has nothing to do gives an empty change.
type reloadable interface {
	prepare(old, now *config.Config) (change, error)
}

// change is what a part made ready.
type change struct{ apply, drop func() }

// reloadFunc is a part that is a function.
type reloadFunc func(old, now *config.Config) (change, error)

func (f reloadFunc) prepare(old, now *config.Config) (change, error) { return f(old, now) }

// reloader takes changed configurations into use: the whole or nothing of each.
// What a new one says of keys that need a restart is kept in mind and not done.
type reloader struct {
	opt     config.Options
	enabled bool // somebody runs it
	log     *slog.Logger
	metrics *reloadMetrics
	current atomic.Pointer[config.Config] // what is in force

	hangup <-chan os.Signal // SIGHUP; nil: nobody listens for it
	asks   chan askReload   // from the console

	manager *serviceManager // told of reloads that a signal asks for

	mu     sync.Mutex // one reload at a time; guards the following
	parts  []namedPart
	tried  string          // what the newest reload found in the file
	warned map[string]bool // the warnings of the configuration in force that were logged

	stateMu sync.Mutex // guards the following
	state   reloadState
}

type namedPart struct {
	name string
	part reloadable
}

// reloadState is what is known of the configuration's life, for people.
type reloadState struct {
	File    string         `json:"file,omitempty"`
	Sum     string         `json:"sha256"`            // of the file that is in force
	Loaded  time.Time      `json:"loaded"`            // when it came into force
	Restart []string       `json:"restart,omitempty"` // keys whose new values wait for a restart
	Last    *reloadOutcome `json:"lastReload,omitempty"`
}

// reloadOutcome is how one reload ended.
type reloadOutcome struct {
	Time     time.Time `json:"time"`
	Why      string    `json:"why"` // what asked for it
	OK       bool      `json:"ok"`
	Changed  []string  `json:"changed,omitempty"`  // keys that were applied
	Restart  []string  `json:"restart,omitempty"`  // keys that wait for a restart
	Problems []string  `json:"problems,omitempty"` // why nothing was applied

	// Earlier is the reload that took this content of the file before, where there
	// was nothing left to take: a changed file is taken by itself, within a moment.
	Earlier *reloadOutcome `json:"earlier,omitempty"`
}

// newReloader makes a reloader for what the app was started with.
func newReloader(c *config.Config, log *slog.Logger, reg prometheus.Registerer, opt appOptions) *reloader {
	r := &reloader{log: log, metrics: newReloadMetrics(reg), asks: make(chan askReload), hangup: opt.hangup, manager: opt.manager, tried: hex.EncodeToString(c.Sum[:])}
	if opt.source != nil {
		r.opt, r.enabled = *opt.source, true
	}
	r.current.Store(c)
	r.state = reloadState{File: c.File, Sum: r.tried, Loaded: time.Now()}
	r.metrics.loaded.SetToCurrentTime()
	return r
}

// add gives the reloader a part. It must be called before the first reload.
func (r *reloader) add(name string, part reloadable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, namedPart{name, part})
}

// status tells how the configuration stands.
func (r *reloader) status() reloadState {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	return r.state
}

// read reads the file and takes it into use.
func (r *reloader) read(why string) reloadOutcome {
	text, err := config.Read(r.opt.File)
	return r.take(why, found{text, err})
}

// found is what stands in the file.
type found struct {
	text []byte
	err  error
}

// id tells contents apart.
func (f found) id() string {
	if f.err != nil {
		return f.err.Error()
	}
	sum := sha256.Sum256(f.text)
	return hex.EncodeToString(sum[:])
}

// isNews reports whether the newest reload found something else.
func (r *reloader) isNews(f found) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.id() != r.tried
}

// triedSum is the SHA-256 of what the newest reload found; zero where it could not
// be read.
func (r *reloader) triedSum() (sum [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, err := hex.DecodeString(r.tried); err == nil {
		copy(sum[:], b)
	}
	return sum
}

// take checks what stands in the file and takes it into use.
func (r *reloader) take(why string, f found) reloadOutcome {
	c, problems := config.Parse(f.text, r.opt)
	if f.err != nil {
		c, problems = nil, config.Unreadable(r.opt.File, f.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried = f.id()
	out := reloadOutcome{Time: time.Now(), Why: why}
	if c == nil {
		for _, p := range problems {
			if !p.Warning {
				out.Problems = append(out.Problems, p.String())
			}
		}
	} else if err := r.apply(c, &out); err != nil {
		out.Problems = strings.Split(err.Error(), "\n")
	}
	out.OK = len(out.Problems) == 0
	if out.OK && len(out.Changed) == 0 {
		out.Earlier = r.earlier(f)
	}
	r.note(c, out)
	if out.OK {
		r.warn(problems)
	}
	return out
}

// earlier gives the reload that put the same content into force; nil if that was
// at the start.
func (r *reloader) earlier(f found) *reloadOutcome {
	state := r.status()
	if state.Last == nil || !state.Last.OK || state.Sum != f.id() {
		return nil
	}
	if state.Last.Earlier != nil {
		return state.Last.Earlier
	}
	return state.Last
}

// warn tells the warnings that the configuration before had not.
func (r *reloader) warn(problems []config.Problem) {
	warned := map[string]bool{}
	for _, p := range problems {
		text := p.String()
		warned[text] = true
		if !r.warned[text] {
			r.log.Warn("configuration warning", "problem", text)
		}
	}
	r.warned = warned
}

// apply has every part take what differs, or none.
func (r *reloader) apply(c *config.Config, out *reloadOutcome) error {
	old := r.current.Load()
	for _, path := range config.Changes(old, c) {
		if config.ClassOf(path) == config.Restart {
			out.Restart = append(out.Restart, path)
		} else {
			out.Changed = append(out.Changed, path)
		}
	}
	now := c.Keep(old)
	if now.Profiles.Equal(old.Profiles) {
		now.Profiles = old.Profiles
	}
	var ready []change
	var errs []error
	for _, p := range r.parts {
		made, err := p.part.prepare(old, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		ready = append(ready, made)
	}
	if len(errs) > 0 {
		for _, made := range slices.Backward(ready) {
			if made.drop != nil {
				made.drop()
			}
		}
		out.Changed, out.Restart = nil, nil
		return errors.Join(errs...)
	}
	for _, made := range ready {
		if made.apply != nil {
			made.apply()
		}
	}
	r.current.Store(now)
	return nil
}

// note keeps and logs how a reload ended.
func (r *reloader) note(c *config.Config, out reloadOutcome) {
	r.metrics.count(out)
	r.stateMu.Lock()
	r.state.Last = &out
	if out.OK {
		r.state.Sum, r.state.Loaded, r.state.Restart = hex.EncodeToString(c.Sum[:]), out.Time, out.Restart
	}
	r.stateMu.Unlock()
	if !out.OK {
		r.log.Error("configuration refused; the one before stays in force", "file", r.opt.File, "why", out.Why, "problems", len(out.Problems))
		for _, p := range out.Problems {
			r.log.Error("configuration problem", "problem", p)
		}
		return
	}
	r.log.Info("configuration reloaded", "file", r.opt.File, "why", out.Why, "changed", listed(out.Changed))
	if len(out.Restart) > 0 {
		r.log.Warn("configuration changes that wait for a restart", "keys", listed(out.Restart))
	}
}

func listed(keys []string) string {
	if len(keys) == 0 {
		return "nothing"
	}
	return strings.Join(keys, " ")
}

// reloadMetrics are the figures of reloads.
type reloadMetrics struct {
	loaded   prometheus.Gauge
	good     prometheus.Gauge
	reloads  *prometheus.CounterVec
	restarts prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{Name: "thingbridge_config_reload_last_success_timestamp_seconds",
			Help: "When the configuration in force was loaded."}),
		good: prometheus.NewGauge(prometheus.GaugeOpts{Name: "thingbridge_config_reload_last_successful",
			Help: "1 while the newest configuration is in force, 0 while it is refused and an older one is."}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thingbridge_config_reloads_total",
			Help: "Reloads of the configuration by outcome: ok, refused."}, []string{"outcome"}),
		restarts: prometheus.NewGauge(prometheus.GaugeOpts{Name: "thingbridge_config_reload_restart_keys",
			Help: "Keys whose new values wait for a restart."}),
	}
	m.good.Set(1)
	for _, outcome := range []string{"ok", "refused"} {
		m.reloads.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.loaded, m.good, m.reloads, m.restarts)
	}
	return m
}

func (m *reloadMetrics) count(out reloadOutcome) {
	if !out.OK {
		m.good.Set(0)
		m.reloads.WithLabelValues("refused").Inc()
		return
	}
	m.good.Set(1)
	m.loaded.SetToCurrentTime()
	m.reloads.WithLabelValues("ok").Inc()
	m.restarts.Set(float64(len(out.Restart)))
}
