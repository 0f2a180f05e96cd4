package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
	"thingbridge/bridge/edgethings"
	"thingbridge/bridge/mqttbus"
	"thingbridge/bridge/outbox"
	"thingbridge/bridge/ownthing"
	"thingbridge/bridge/rest"
	"thingbridge/bridge/store"
	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/mapping"
)

// app is one bridge with everything it consists of.
type app struct {
	config   *config.Config // at the start; reload.current has what is in force
	log      *slog.Logger
	logs     *logControl // changes log; nil: nothing does
	registry *prometheus.Registry
	reload   *reloader

	store    *store.Store
	outbox   waitingQueue
	bridge   *bridge.Bridge
	bus      *mqttbus.Bus
	client   *edge.Client
	own      *ownthing.Self
	progress *progress // nil: none
	consoles *consoles
	rests    *rests
	edges    *edgethings.Manager // nil: not enabled
	history  *console.History    // that the console shows
	manager  *serviceManager     // nil: nobody started the process who wants to know
}

// waitingQueue is an outbox of either mode.
type waitingQueue interface {
	bridge.Outbox
	Status() outbox.Status
	SetBounds(outbox.Bounds)
	Close() error
}

// appOptions are what a command adds to the configuration.
type appOptions struct {
	// watch stands between the platform side and the bridge; nil: nothing does.
	watch func(edge.Handler) edge.Handler
	// live is the terminal that shows long work; nil: the log does. progress says
	// whether it is told at all.
	live     *liveWriter
	progress bool
	// logs changes the log that newApp is given; nil: its level and form stay.
	logs *logControl
	// source is where the configuration is read again, and hangup the signal to do
	// so; nil: it never is.
	source *config.Options
	hangup <-chan os.Signal
	// manager is told how the bridge fares; nil: nobody is.
	manager *serviceManager
}

// newApp opens and joins everything and starts nothing. What it opened is
// closed when it fails, and when run returns.
func newApp(c *config.Config, log *slog.Logger, opt appOptions) (_ *app, err error) {
	a := &app{config: c, log: log, logs: opt.logs, registry: prometheus.NewRegistry(), manager: opt.manager}
	a.reload = newReloader(c, log.With("part", "config"), a.registry, opt)
	a.consoles = &consoles{app: a}
	a.rests = &rests{app: a}
	a.history = console.NewHistory(consoleSource{a})
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if a.store, err = store.Open(c.DataDir, store.Options{Logger: log.With("part", "store")}); err != nil {
		return nil, err
	}
	// The outbox asks the bridge, which is made with it.
	var later bridgeLater
	if a.outbox, err = openOutbox(c, a, &later); err != nil {
		return nil, err
	}
	joined := bridgeOptions(c, a)
	joined.Engine = mapping.NewEngine(c.Profiles, engineOptions(c))
	if a.bridge, err = bridge.New(joined); err != nil {
		return nil, err
	}
	later.set(a.bridge)
	if a.bus, err = mqttbus.New(busOptions(c, a), a.bridge); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	var handler edge.Handler = a.bridge
	if opt.watch != nil {
		handler = opt.watch(handler)
	}
	edgeMetrics, err := edgethings.NewMetrics(a.registry)
	if err != nil {
		return nil, err
	}
	if c.REST.EdgeThings.Enabled {
		if a.edges, err = newEdgeThings(c, a, handler, edgeMetrics); err != nil {
			return nil, err
		}
		handler = a.edges
	}
	a.reserveOwn("", c.Platform.Gateway.Name)
	a.own = ownthing.New(selfOptions(c, a, handler))
	if a.client, err = edge.NewClient(edgeOptions(c, a), a.own); err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	a.bridge.Attach(a.client, a.bus)
	a.own.Attach(a.client, a.bus)
	if a.edges != nil {
		a.edges.Attach(a.client)
	}
	if c.Console.Listen != "" {
		if a.consoles.present, err = newConsole(c, a); err != nil {
			return nil, err
		}
	}
	if a.rests.metrics, err = rest.NewMetrics(a.registry); err != nil {
		return nil, err
	}
	if c.REST.Listen != "" {
		if a.rests.present, err = newREST(c, a); err != nil {
			return nil, err
		}
	}
	if opt.progress {
		a.progress = newProgress(a, opt.live)
	}
	a.addParts()
	return a, nil
}

// run works until ctx ends, then stops in order: the bridge takes no message
// any more and finishes what is in flight, as do the edge things, then the Things are unbound and the
// broker is left, then the files are closed. An error of any part stops all.
func (a *app) run(ctx context.Context) error {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sides, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	if name := boundAsItself(a.config); name != "" {
		a.client.Want(name)
	}
	var parts sync.WaitGroup
	start := func(name string, ctx context.Context, run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	start("mqtt", sides, a.bus.Run)
	start("platform", sides, a.client.Run)
	start("own thing", work, a.own.Run)
	start("history", sides, a.history.Run)
	if a.progress != nil {
		start("progress", work, a.progress.run)
	}
	start("console", sides, a.consoles.run)
	start("rest", sides, a.rests.run)
	if a.reload.enabled {
		start("config", work, a.reload.run)
	}
	if a.manager != nil {
		start("service manager", work, func(ctx context.Context) error { return a.manager.run(ctx, a.loops(), a.fares) })
	}
	var edges sync.WaitGroup
	if a.edges != nil {
		edges.Go(func() { _ = a.edges.Run(work) }) // it has no errors
	}
	bridgeErr := a.bridge.Run(work)
	edges.Wait()
	leave()
	parts.Wait()
	var cause error
	if ctx.Err() == nil {
		cause = context.Cause(work)
	}
	return errors.Join(bridgeErr, cause, a.close())
}

// close closes what was opened, the last first.
func (a *app) close() error {
	var errs []error
	a.consoles.close()
	a.rests.close()
	if a.outbox != nil {
		errs = append(errs, a.outbox.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
