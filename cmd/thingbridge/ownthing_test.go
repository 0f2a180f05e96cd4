package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"thingbridge/config"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/simulator"
)

// ask makes a request of the platform and gives its answer's code and text.
func ask(t *testing.T, p *simulator.Platform, method alwayson.Code, req *alwayson.Request, column string) (alwayson.Code, string) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resp, err := p.Call(limit, method, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Code, resp.Reason + alwayson.Result(resp.Content, column).Text()
}

func TestTheBridgeIsAThingOfThePlatform(t *testing.T) {
	for _, gateway := range []config.Gateway{{Name: "plant-7"}, {Name: "plant-8", Type: "SDKGateway"}} {
		t.Run(gateway.Name+" "+gateway.Type, func(t *testing.T) {
			w := newWorld(t)
			c := w.config(t, "")
			c.Platform.Gateway = gateway
			a, err := newApp(c, slog.New(slog.DiscardHandler), appOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.bridge.Reserve(gateway.Name, "a device"); err == nil || !strings.Contains(err.Error(), "the bridge itself") {
				t.Errorf("a device may have the name of the bridge's own Thing: %v", err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.run(ctx) }()
			defer func() {
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			until(t, "the devices and the bridge are there", func() bool {
				got := w.connected()
				return got["pump-1"] && got["pump-2"] && got[gateway.Name]
			})
			status := alwayson.ServiceRequest(alwayson.EntityThing, gateway.Name, "GetStatus", nil)
			if code, text := ask(t, w.platform, alwayson.Post, status, "result"); code != alwayson.Success || !strings.Contains(text, `"clientId":"app-test"`) {
				t.Errorf("GetStatus: %v %s", code, text)
			}
			if gateway.Type != "" {
				return // the simulated platform gives it no properties
			}
			version := alwayson.PropertyRequest(alwayson.EntityThing, gateway.Name, "version", nil)
			if code, text := ask(t, w.platform, alwayson.Get, version, "version"); code != alwayson.Success || text != "unknown" {
				t.Errorf("version: %v %s", code, text)
			}
			// Found by its metadata and bound to by the platform, the values come by themselves.
			until(t, "the bridge's own values arrive", func() bool {
				_, up := w.platform.Value(gateway.Name, "brokerUp")
				wanted, ok := w.platform.Value(gateway.Name, "thingsWanted")
				return up && ok && wanted.Value.Number() >= 1
			})
		})
	}
}

func TestEveryFigureIsOfAMetricThatExists(t *testing.T) {
	w := newWorld(t)
	a, err := newApp(w.config(t, ""), slog.New(slog.DiscardHandler), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	a.bridge.Dropped("full", "x", 1) // and whatever shows with its first count only
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{"messages_total": true}
	for _, f := range families {
		there[strings.TrimPrefix(f.GetName(), "thingbridge_")] = true
	}
	late := map[string]bool{"values_total": true, "rejected_total": true, "calls_total": true}
	for _, f := range summed {
		if !there[f.metric] && !late[f.metric] {
			t.Errorf("%s: there is no metric %s", f.name, f.metric)
		}
	}
}
