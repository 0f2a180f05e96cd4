package main

import (
	"io"
	"log/slog"
	"os"

	"thingbridge/config"
)

// newLogger makes the log that a configuration asks for.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	levels := map[config.LogLevel]slog.Level{
		config.LogDebug: slog.LevelDebug, config.LogInfo: slog.LevelInfo, config.LogWarn: slog.LevelWarn, config.LogError: slog.LevelError,
	}
	opt := &slog.HandlerOptions{Level: levels[c.Level], ReplaceAttr: inWords}
	if c.Format == config.LogText || c.Format == config.LogAuto && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opt))
	}
	return slog.New(slog.NewJSONHandler(w, opt))
}

// inWords writes durations with their unit, in JSON too.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
