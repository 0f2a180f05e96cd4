package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"thingbridge/bridge/console"
	"thingbridge/config"
)

var _ console.Operator = consoleSource{}

// Configuration implements console.Operator.
func (s consoleSource) Configuration() any { return s.app.reload.status() }

// Reload implements console.Operator.
func (s consoleSource) Reload(ctx context.Context) (any, error) {
	return s.app.askReload(ctx, "asked for at the console")
}

// Log implements console.Operator.
func (s consoleSource) Log() any {
	if s.app.logs == nil {
		return logState{}
	}
	return s.app.logs.state()
}

// SetLog implements console.Operator: {"level": "debug", "for": "10m"}. Without
// "for" the level stays until it is set again; without "level" it goes back to
// what is configured.
func (s consoleSource) SetLog(wish json.RawMessage) (any, error) {
	var w struct {
		Level config.LogLevel `json:"level"`
		For   string          `json:"for"`
	}
	if err := console.Wish(wish, &w); err != nil {
		return nil, err
	}
	if _, known := logLevels[w.Level]; !known && w.Level != "" {
		return nil, wrongWish("level %q; expected debug, info, warn or error, or none for what is configured", w.Level)
	}
	var limit time.Duration
	if w.For != "" {
		var err error
		if limit, err = time.ParseDuration(w.For); err != nil || limit <= 0 {
			return nil, wrongWish(`for %q; expected a duration with its unit, for example "10m"`, w.For)
		}
	}
	if s.app.logs == nil {
		return nil, wrongWish("the log of this bridge does not change")
	}
	setLogLevel(s.app.log, s.app.logs, w.Level, limit, "the console")
	return s.app.logs.state(), nil
}

func wrongWish(format string, args ...any) error {
	return &console.WishError{Err: fmt.Errorf(format, args...)}
}

// setLogLevel changes the level and says so at either level.
func setLogLevel(log *slog.Logger, logs *logControl, level config.LogLevel, limit time.Duration, why string) {
	was := logs.state().Level
	logs.set(level, limit)
	now := logs.state()
	args := []any{"level", now.Level, "was", was, "why", why}
	if limit > 0 {
		args = append(args, "for", limit)
	}
	log.Warn("log level changed", args...)
}
