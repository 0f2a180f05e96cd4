package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/mqttbus/broker"
	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/edge/simulator"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// What the demo is called and where it listens, unless told otherwise.
const (
	demoMQTT     = "127.0.0.1:18830"
	demoPlatform = "127.0.0.1:18080"
	demoConsole  = "127.0.0.1:18480"
	demoKey      = "demo"
	demoClientID = "thingbridge-demo"
	demoDevices  = 5
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	mqtt, platform, console string
	interval                time.Duration
	verbose                 bool
}

func demoCommand() *cobra.Command {
	var opt demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "broker, platform, devices and bridge in one process; nothing to install",
		Long: "Runs an MQTT broker, a simulated platform, five simulated devices and the bridge\n" +
			"in one process, in memory, and says what to try. A port that is in use is\n" +
			"replaced by a free one.",
		Args: arguments(0, 0),
	}
	f := cmd.Flags()
	f.StringVar(&opt.mqtt, "mqtt", demoMQTT, "address of the broker")
	f.StringVar(&opt.platform, "platform", demoPlatform, "address of the simulated platform")
	f.StringVar(&opt.console, "console", demoConsole, "address of health, metrics and API")
	f.DurationVar(&opt.interval, "interval", 5*time.Second, "time between the values of one device")
	f.BoolVarP(&opt.verbose, "verbose", "v", false, "show the log of all parts")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		return within(cmd.Context(), stopLimit, func(ctx context.Context) error {
			return runDemo(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), opt)
		})
	})
	return cmd
}

// demo is everything that runs in the demo.
type demo struct {
	broker   *broker.Broker
	platform *simulator.Platform
	devices  *devicesim.Simulator
	app      *app
	story    *story
}

func runDemo(ctx context.Context, out, errOut io.Writer, opt demoOptions) error {
	logLevel := config.LogWarn
	if opt.verbose {
		logLevel = config.LogDebug
	}
	log := newLogger(errOut, config.Log{Level: logLevel, Format: config.LogText})
	d, err := newDemo(out, log, opt)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

// newDemo opens everything. What it opened is closed when it fails.
func newDemo(out io.Writer, log *slog.Logger, opt demoOptions) (_ *demo, err error) {
	d := &demo{}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	open := func(what, address string) (net.Listener, error) {
		l, err := listenOrElse(out, what, address)
		if err == nil {
			listeners = append(listeners, l)
		}
		return l, err
	}
	mqtt, err := open("MQTT", opt.mqtt)
	if err != nil {
		return nil, err
	}
	rest, err := open("platform", opt.platform)
	if err != nil {
		return nil, err
	}
	if d.broker, err = broker.New(broker.Options{Listener: mqtt, Logger: log.With("part", "broker")}); err != nil {
		return nil, err
	}
	if d.platform, err = simulator.New(simulator.Options{Listener: rest, AppKey: demoKey, Logger: log.With("part", "simulator")}); err != nil {
		return nil, err
	}
	brokerURL := "tcp://" + mqtt.Addr().String()
	if d.devices, err = devicesim.New(devicesim.Options{
		Access: devicesim.Access{Broker: brokerURL}, Count: demoDevices, Interval: opt.interval,
		Seed: uint64(time.Now().UnixNano()), OneConnectionPerDevice: true, Logger: log.With("part", "devices"),
	}); err != nil {
		return nil, err
	}
	c, err := demoConfig(out, brokerURL, d.platform.WSURL(), opt.console)
	if err != nil {
		return nil, err
	}
	d.story = newStory(out, d.platform, d.devices.Names())
	watch := func(h edge.Handler) edge.Handler { return &watcher{Handler: h, story: d.story} }
	if d.app, err = newApp(c, log, appOptions{watch: watch}); err != nil {
		return nil, err
	}
	d.story.places = demoPlaces{mqtt: mqtt.Addr().(*net.TCPAddr), rest: d.platform.URL(), console: "http://" + d.app.consoles.now().Addr().String()}
	return d, nil
}

// demoConfig is what "thingbridge run" would read for the demo.
func demoConfig(out io.Writer, brokerURL, platformURL, console string) (*config.Config, error) {
	c := config.Default()
	c.Platform.URL, c.Platform.AppKey = platformURL, config.LiteralSecret(demoKey)
	c.MQTT.Broker, c.MQTT.ClientID = []string{brokerURL}, demoClientID
	c.Console.AllowCalls, c.Console.MetricsPublic = true, true
	profiles, problems := mapping.Load(nil, "", presets.Open)
	if config.Errors(problems) {
		return nil, problems[0]
	}
	c.Profiles = profiles
	// The console listens by itself: only find out which address is free.
	l, err := listenOrElse(out, "console", console)
	if err != nil {
		return nil, err
	}
	c.Console.Listen = l.Addr().String()
	return &c, l.Close()
}

// listenOrElse listens on the address or, when that is in use, on a free port
// of the same host, and says so.
func listenOrElse(out io.Writer, what, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, _ := net.SplitHostPort(address)
	if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%s: %s is in use; taking %s\n", what, address, l.Addr())
	return l, nil
}

// run works until ctx ends or a part fails; the bridge leaves first.
func (d *demo) run(ctx context.Context) error {
	if err := d.broker.Start(); err != nil {
		return errors.Join(err, d.platform.Close(), d.app.close())
	}
	others, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	work, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := d.platform.Run(others); err != nil {
			fail(err)
		}
	})
	parts.Go(func() { d.story.run(work) })
	devices := make(chan struct{})
	go func() {
		defer close(devices)
		if err := d.devices.Run(work); err != nil {
			fail(err)
		}
	}()
	err := d.app.run(work)
	fail(nil)
	<-devices
	stop()
	parts.Wait()
	return errors.Join(err, d.broker.Close())
}
