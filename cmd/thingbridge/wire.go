package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
	"thingbridge/bridge/mqttbus"
	"thingbridge/bridge/outbox"
	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Here the configuration becomes the options of the parts.

// topicRoot is where the bridge's own topics begin.
func topicRoot(c *config.Config) string { return "thingbridge/" + c.MQTT.ClientID }

func engineOptions(c *config.Config) mapping.Options {
	return mapping.Options{
		Limits: mapping.Limits{
			PayloadBytes:        int(c.Limits.PayloadBytes),
			ValuesPerMessage:    c.Limits.ValuesPerMessage,
			DefinitionsPerThing: c.Limits.DefinitionsPerThing,
		},
		NewRequestID:        bridge.NewRequestID,
		NewNumericRequestID: bridge.NewNumericRequestID,
		ReplyPrefix:         topicRoot(c) + "/reply",
		DefaultTimeout:      c.Limits.CallTimeout,
	}
}

func bridgeOptions(c *config.Config, a *app) bridge.Options {
	return bridge.Options{
		Outbox: a.outbox,
		Store:  a.store,
		Limits: bridge.Limits{
			Things:                 c.Limits.Things,
			AnnouncementsPerSecond: float64(c.Limits.AnnouncementsPerSecond),
			Calls:                  c.Limits.Calls,
			CallsPerThing:          c.Limits.CallsPerThing,
			WaitingPerThing:        c.Limits.WaitingPerThing,
		},
		AllowThings:    c.Allow.Things,
		DenyThings:     c.Deny.Things,
		AllowServices:  c.Allow.Services,
		DenyServices:   c.Deny.Services,
		AllowPlatform:  c.Allow.Platform,
		Provision:      bridge.Provision{Enabled: c.Provision.Enabled, Template: c.Provision.Template},
		DefaultTimeout: c.Limits.CallTimeout,
		PushTimeout:    c.Platform.RequestTimeout,
		ClientID:       c.MQTT.ClientID,
		ReplayRate:     float64(c.Outbox.ReplayRate),
		Watchdog:       2 * c.Platform.RequestTimeout,
		Registerer:     a.registry,
		Logger:         a.log.With("part", "bridge"),
	}
}

func busOptions(c *config.Config, a *app) mqttbus.Options {
	status := topicRoot(c) + "/status"
	opt := mqttbus.Options{
		Brokers:        c.MQTT.Broker,
		ClientID:       c.MQTT.ClientID,
		CleanInbound:   c.Memory(),
		TLS:            func() (*tls.Config, error) { return c.MQTT.TLS.Config("") },
		KeepAlive:      c.MQTT.KeepAlive,
		ConnectTimeout: c.MQTT.ConnectTimeout,
		PayloadLimit:   int(c.Limits.PayloadBytes),
		Birth:          &bridge.Publication{Topic: status, Payload: []byte("online"), QoS: 1, Retain: true},
		Will:           &bridge.Publication{Topic: status, Payload: []byte("offline"), QoS: 1, Retain: true},
		Logger:         a.log.With("part", "mqtt"),
		Registerer:     a.registry,
	}
	for _, s := range c.Profiles.States(engineOptions(c).Limits) {
		opt.States = append(opt.States, mqttbus.State{Topic: s.Topic, Payload: s.Payload, Again: s.Again})
	}
	if c.MQTT.Username != "" {
		opt.Username = func() (string, error) { return c.MQTT.Username, nil }
	}
	if c.MQTT.Password.IsSet() {
		opt.Password = c.MQTT.Password.Resolve
	}
	if !c.Memory() {
		opt.LoadSubscribed, opt.SaveSubscribed = a.store.LoadFilters, a.store.SaveFilters
	}
	return opt
}

func edgeOptions(c *config.Config, a *app) edge.Options {
	opt := edge.Options{
		URL:            c.Platform.URL,
		AppKey:         func(context.Context) (string, error) { return c.Platform.AppKey.Resolve() },
		TLS:            func() (*tls.Config, error) { return c.Platform.TLS.Config("") },
		Compression:    c.Platform.Compression,
		RequestTimeout: c.Platform.RequestTimeout,
		PingInterval:   c.Platform.PingInterval,
		MaxMessage:     int(c.Platform.MaxMessage),
		Chunk:          int(c.Platform.Chunk),
		// Beside calls there is what the platform asks of its own accord.
		MaxServing:       max(1024, c.Limits.Calls+c.Limits.Calls/4),
		MaxServingThing:  max(256, 2*c.Limits.CallsPerThing),
		MaxSubscriptions: max(10_000, c.Limits.DefinitionsPerThing),
		Logger:           a.log.With("part", "platform"),
		Registerer:       a.registry,
	}
	if g := c.Platform.Gateway; g.Type != "" {
		opt.Gateway = &alwayson.Gateway{Name: g.Name, Type: g.Type}
	}
	if c.Platform.Proxy.IsSet() {
		opt.Proxy = func(*http.Request) (*url.URL, error) { return proxyURL(c.Platform.Proxy) }
	}
	return opt
}

var errProxy = errors.New("platform.proxy is not a URL")

// proxyURL reads the proxy's address afresh. An error does not repeat it: a
// password may be in it.
func proxyURL(s config.Secret) (*url.URL, error) {
	text, err := s.Resolve()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errProxy
	}
	return u, nil
}

func openOutbox(c *config.Config, a *app, b *bridgeLater) (waitingQueue, error) {
	opt := outbox.Options{
		MaxBytes:   int64(c.Outbox.MaxBytes),
		MaxAge:     c.Outbox.MaxAge,
		WhenFull:   outbox.Policy(c.Outbox.WhenFull),
		HoldMax:    c.Outbox.HoldMax,
		Bound:      b.bound,
		OnDrop:     b.dropped,
		Registerer: a.registry,
		Logger:     a.log.With("part", "outbox"),
	}
	// Each is returned by itself: a nil pointer is no nil interface.
	if c.OutboxMode() == config.OutboxMemory {
		memory, err := outbox.NewMemory(opt)
		if err != nil {
			return nil, err
		}
		return memory, nil
	}
	disk, err := outbox.OpenDisk(a.store.OutboxPath(), opt)
	if err != nil {
		return nil, err
	}
	return disk, nil
}

// consoleOptions reads the console's secrets afresh.
func consoleOptions(c *config.Config, a *app) (console.Options, error) {
	token, err := c.Console.Token.Resolve()
	if err != nil {
		return console.Options{}, fmt.Errorf("console.token: %w", err)
	}
	password, err := c.Console.Password.Resolve()
	if err != nil {
		return console.Options{}, fmt.Errorf("console.password: %w", err)
	}
	return console.Options{
		Listen:        c.Console.Listen,
		Hosts:         c.Console.Hosts,
		Token:         token,
		Username:      c.Console.Username,
		Password:      password,
		MetricsPublic: c.Console.MetricsPublic,
		AllowCalls:    c.Console.AllowCalls,
		Pprof:         c.Console.Pprof,
		Source:        consoleSource{a},
		History:       a.history,
		Gatherer:      a.registry,
		Logger:        a.log.With("part", "console"),
	}, nil
}

// newConsole makes the console and takes its address, so that a port that is in
// use is found at the start.
func newConsole(c *config.Config, a *app) (*console.Console, error) {
	opt, err := consoleOptions(c, a)
	if err != nil {
		return nil, err
	}
	made, err := console.New(opt)
	if err != nil {
		return nil, err
	}
	return made, listen(made.Listen, "console.listen")
}

// listen takes an address and says what to do when it is in use.
func listen(take func() error, key string) error {
	err := take()
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; another program listens there: choose another %s, or stop it", err, key)
	}
	return err
}

// bridgeLater is a bridge that the outbox asks and that is not made yet.
type bridgeLater struct{ bridge atomic.Pointer[bridge.Bridge] }

func (b *bridgeLater) set(made *bridge.Bridge) { b.bridge.Store(made) }

func (b *bridgeLater) bound(thing string) bool {
	made := b.bridge.Load()
	return made != nil && made.Bound(thing)
}

func (b *bridgeLater) dropped(reason, thing string, n int) {
	if made := b.bridge.Load(); made != nil {
		made.Dropped(reason, thing, n)
	}
}
