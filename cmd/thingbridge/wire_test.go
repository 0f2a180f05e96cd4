package main

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/config"
)

func TestThePlatformsConnectionHasRoomForTheCallsThatAreAllowed(t *testing.T) {
	c := config.Default()
	c.Limits.Calls, c.Limits.CallsPerThing = 20_000, 3000
	opt := edgeOptions(&c, &app{log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry()})
	if opt.MaxServing <= c.Limits.Calls || opt.MaxServingThing <= c.Limits.CallsPerThing {
		t.Errorf("room for %d requests, %d for one Thing; %d and %d calls are allowed",
			opt.MaxServing, opt.MaxServingThing, c.Limits.Calls, c.Limits.CallsPerThing)
	}
}
