package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"thingbridge/config"
)

// onSignals listens for SIGHUP, which it hands on, and changes the log's level at
// SIGUSR1 (debug) and SIGUSR2 (what is configured). end stops that.
func onSignals(log *slog.Logger, logs *logControl) (hangup <-chan os.Signal, end func()) {
	hup, usr := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(usr, syscall.SIGUSR1, syscall.SIGUSR2)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case s := <-usr:
				level := config.LogDebug
				if s == syscall.SIGUSR2 {
					level = ""
				}
				setLogLevel(log, logs, level, 0, s.String())
			}
		}
	}()
	return hup, func() {
		signal.Stop(hup)
		signal.Stop(usr)
		close(stop)
		<-done
	}
}
