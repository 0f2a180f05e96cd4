package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"thingbridge/bridge/console"
	"thingbridge/bridge/outbox"
	"thingbridge/config"
	"thingbridge/mapping"
)

// Here the parts of the app take changed configurations. A part of its own file
// joins with app.reload.add.

// addParts gives the reloader the parts that every app has.
func (a *app) addParts() {
	a.reload.add("bridge", reloadFunc(a.prepareBridge)) // first: new filters stand before a new session subscribes
	a.reload.add("platform", reloadFunc(a.preparePlatform))
	a.reload.add("mqtt", reloadFunc(a.prepareBroker))
	a.reload.add("outbox", reloadFunc(a.prepareOutbox))
	if a.logs != nil {
		a.reload.add("log", reloadFunc(func(_, now *config.Config) (change, error) {
			return change{apply: func() { a.logs.configure(now.Log) }}, nil
		}))
	}
	a.reload.add("console", a.consoles)
	a.reload.add("rest", a.rests)
	if a.edges != nil {
		a.reload.add("edge things", reloadFunc(func(_, now *config.Config) (change, error) {
			return change{apply: func() { a.edges.SetLimits(edgeLimits(now)) }}, nil
		}))
	}
}

// anew lists the changed keys for which a connection must be made anew.
func anew(old, now *config.Config, class config.Class) []string {
	return slices.DeleteFunc(config.Changes(old, now), func(path string) bool { return config.ClassOf(path) != class })
}

func changed(keys []string) string { return strings.Join(keys, ", ") + " changed" }

func (a *app) prepareBridge(old, now *config.Config) (change, error) {
	opt := bridgeOptions(now, a)
	if now.Profiles != old.Profiles || engineOptionsDiffer(old, now) {
		if now.Profiles != old.Profiles {
			now.Profiles.Follow(old.Profiles)
		}
		opt.Engine = mapping.NewEngine(now.Profiles, engineOptions(now))
	}
	return change{apply: func() {
		n := a.bridge.Reload(opt)
		if opt.Engine == nil && n.Left == 0 {
			return
		}
		a.reload.log.Info("things after the reload", "same", n.Same, "rebound", n.Rebound, "renamed", n.Renamed, "left", n.Left)
	}}, nil
}

// engineOptionsDiffer reports whether messages mean something else although the
// profiles are the same.
func engineOptionsDiffer(old, now *config.Config) bool {
	a, b := engineOptions(old), engineOptions(now)
	return a.Limits != b.Limits || a.ReplyPrefix != b.ReplyPrefix || a.DefaultTimeout != b.DefaultTimeout
}

func (a *app) preparePlatform(old, now *config.Config) (change, error) {
	opt := edgeOptions(now, a)
	if err := opt.Check(); err != nil {
		return change{}, err
	}
	return change{apply: func() {
		// The options were checked.
		_ = a.client.Reconfigure(opt)
		a.reserveOwn(old.Platform.Gateway.Name, now.Platform.Gateway.Name)
		a.own.Rename(now.Platform.Gateway.Name)
		if was, is := boundAsItself(old), boundAsItself(now); was != is {
			if was != "" {
				a.client.Unwant(was)
			}
			if is != "" {
				a.client.Want(is)
			}
		}
		if keys := anew(old, now, config.PlatformAnew); len(keys) > 0 {
			a.client.Renew(changed(keys))
		}
	}}, nil
}

func (a *app) prepareBroker(old, now *config.Config) (change, error) {
	opt := busOptions(now, a)
	if err := opt.Check(); err != nil {
		return change{}, err
	}
	return change{apply: func() {
		// The options were checked.
		_ = a.bus.Reconfigure(opt)
		keys := anew(old, now, config.BrokerAnew)
		if !slices.Equal(statesOf(old), statesOf(now)) {
			keys = append(keys, "what the profiles say of the bridge")
		}
		if len(keys) > 0 {
			a.bus.Renew(changed(keys))
		}
	}}, nil
}

// statesOf lists what the profiles have the bridge say of itself: it is in the
// wills of the connections to the broker.
func statesOf(c *config.Config) []string {
	var list []string
	for _, s := range c.Profiles.States(engineOptions(c).Limits) {
		list = append(list, s.Topic)
		for _, online := range []bool{true, false} {
			payload, err := s.Payload(online, time.Time{})
			list = append(list, string(payload), fmt.Sprint(err))
		}
	}
	return list
}

func (a *app) prepareOutbox(old, now *config.Config) (change, error) {
	if old.Outbox == now.Outbox {
		return change{}, nil
	}
	return change{apply: func() { a.outbox.SetBounds(outboxBounds(now)) }}, nil
}

func outboxBounds(c *config.Config) outbox.Bounds {
	return outbox.Bounds{MaxBytes: int64(c.Outbox.MaxBytes), MaxAge: c.Outbox.MaxAge, HoldMax: c.Outbox.HoldMax}
}

// consoles is the console, which may move to another address, go and come.
type consoles struct {
	app *app
	movable[*console.Console]
}

// prepare implements reloadable. The console's secrets are read afresh, whatever
// else is new.
func (s *consoles) prepare(old, now *config.Config) (change, error) {
	if now.Console.Listen == "" {
		return change{apply: func() { s.replace(nil) }}, nil
	}
	present := s.now()
	if present != nil && old.Console.Listen == now.Console.Listen {
		opt, err := consoleOptions(now, s.app)
		if err != nil {
			return change{}, err
		}
		made, err := present.Prepare(opt)
		if err != nil {
			return change{}, err
		}
		return change{apply: func() { present.Use(made) }}, nil
	}
	made, err := newConsole(now, s.app)
	if err != nil {
		return change{}, err
	}
	return change{apply: func() { s.replace(made) }, drop: made.Close}, nil
}

// errRunOnly says that only "thingbridge run" takes a changed configuration.
var errRunOnly = errors.New(`the configuration of this bridge does not change; only "thingbridge run" reloads one`)

// ask has the configuration reloaded for somebody who waits.
func (a *app) askReload(ctx context.Context, why string) (any, error) {
	if !a.reload.enabled {
		return nil, &console.WishError{Err: errRunOnly}
	}
	out, err := a.reload.request(ctx, why)
	if err != nil {
		return nil, fmt.Errorf("reload: %w", err)
	}
	return out, nil
}
