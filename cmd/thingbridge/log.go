package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/config"
)

var logLevels = map[config.LogLevel]slog.Level{
	config.LogDebug: slog.LevelDebug, config.LogInfo: slog.LevelInfo, config.LogWarn: slog.LevelWarn, config.LogError: slog.LevelError,
}

// newLogger makes a log whose form and level stay.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	log, _ := newLog(w, c)
	return log
}

// newLog makes the log that a configuration asks for, and what changes its form
// and level while it is in use.
func newLog(w io.Writer, c config.Log) (*slog.Logger, *logControl) {
	control := &logControl{terminal: isTerminal(w)}
	control.configure(c)
	opt := &slog.HandlerOptions{Level: &control.level, ReplaceAttr: inWords}
	return slog.New(&eitherHandler{control, slog.NewTextHandler(w, opt), slog.NewJSONHandler(w, opt)}), control
}

// logControl changes a log while it is in use.
type logControl struct {
	terminal bool
	text     atomic.Bool
	level    slog.LevelVar

	mu         sync.Mutex // guards the following
	configured config.LogLevel
	back       *time.Timer // goes back to what is configured; nil: nothing does
	until      time.Time   // when; zero: never by itself
}

// configure takes over what a configuration asks for. A level that was set by
// hand stays while the configured one does not change.
func (c *logControl) configure(to config.Log) {
	c.text.Store(to.Format == config.LogText || to.Format == config.LogAuto && c.terminal)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.configured == to.Level {
		return
	}
	c.configured = to.Level
	c.setLocked(to.Level, 0)
}

// set changes the level by hand, for a time, or until it is set again when that
// is 0; "" goes back to what is configured.
func (c *logControl) set(level config.LogLevel, limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if level == "" {
		level, limit = c.configured, 0
	}
	c.setLocked(level, limit)
}

func (c *logControl) setLocked(level config.LogLevel, limit time.Duration) {
	if c.back != nil {
		c.back.Stop()
	}
	c.back, c.until = nil, time.Time{}
	c.level.Set(logLevels[level])
	if limit <= 0 || level == c.configured {
		return
	}
	c.until = time.Now().Add(limit)
	var mine *time.Timer
	mine = time.AfterFunc(limit, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.back == mine {
			c.setLocked(c.configured, 0)
		}
	})
	c.back = mine
}

// logState is how a log is set, for people.
type logState struct {
	Level      config.LogLevel `json:"level"`
	Configured config.LogLevel `json:"configured"`
	Until      time.Time       `json:"until,omitzero"` // when the level goes back to what is configured
}

func (c *logControl) state() logState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := logState{Configured: c.configured, Until: c.until}
	for name, level := range logLevels {
		if level == c.level.Level() {
			s.Level = name
		}
	}
	return s
}

// eitherHandler writes text or JSON, as its control says at the moment.
type eitherHandler struct {
	control    *logControl
	text, json slog.Handler
}

func (h *eitherHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.control.level.Level()
}

func (h *eitherHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.control.text.Load() {
		return h.text.Handle(ctx, r)
	}
	return h.json.Handle(ctx, r)
}

func (h *eitherHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &eitherHandler{h.control, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

func (h *eitherHandler) WithGroup(name string) slog.Handler {
	return &eitherHandler{h.control, h.text.WithGroup(name), h.json.WithGroup(name)}
}

// inWords writes durations with their unit, in JSON too.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	if live, ok := w.(*liveWriter); ok {
		w = live.out
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
