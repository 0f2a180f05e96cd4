package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/config"
)

// stopLimit is how long an ordered stop may take.
const stopLimit = 30 * time.Second

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the bridge until SIGTERM or SIGINT",
		Args:  arguments(0, 0),
	}
	configFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(cmd)
		if err != nil {
			return err
		}
		out := cmd.ErrOrStderr()
		var live *liveWriter
		if isTerminal(out) {
			live = &liveWriter{out: out}
			out = live
		}
		log, logs := newLog(out, c.Log)
		log.Info("thingbridge starts", "version", version, "config", c.File, "client_id", c.MQTT.ClientID,
			"platform", c.Platform.URL, "data_dir", c.DataDir)
		hangup, end := onSignals(log, logs)
		defer end()
		a, err := newApp(c, log, appOptions{
			logs: logs, live: live, progress: true, hangup: hangup, manager: newServiceManager(os.Getenv, log),
			source: &config.Options{File: c.File, Flags: cmd.Flags()},
		})
		if err != nil {
			log.Error("thingbridge cannot start", "error", err)
			return &failure{}
		}
		if err := within(cmd.Context(), stopLimit, a.run); err != nil {
			log.Error("thingbridge failed", "error", err)
			return &failure{}
		}
		log.Info("thingbridge stopped")
		return nil
	})
	return cmd
}

// within runs f and gives it limit to return once ctx has ended.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errors.New(fmt.Sprint("the stop took longer than ", limit, "; what was not finished is kept where it was kept before"))
	}
}
