package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/config"
	"thingbridge/edge/simulator"
)

func simulatePlatformCommand() *cobra.Command {
	var opt simulator.Options
	var auto, verbose bool
	var sync, refusal string
	cmd := &cobra.Command{
		Use:   "platform",
		Short: "a ThingWorx platform for people without one",
		Long: "A ThingWorx platform for people without one, and for tests: AlwaysOn at\n" +
			"ws://ADDR/Thingworx/WS, the platform's REST at http://ADDR/Thingworx, and what a\n" +
			"test asks of it at http://ADDR/simulator. It keeps everything in memory.",
		Args: arguments(0, 0),
	}
	f := cmd.Flags()
	f.StringVar(&opt.Listen, "listen", "127.0.0.1:18080", "address to listen on")
	f.StringVar(&opt.AppKey, "app-key", "", "application key of edges and REST callers (default: any key will do)")
	f.StringVar(&opt.ThingsFile, "things", "", "YAML or JSON file of Things")
	f.BoolVar(&auto, "auto", true, "make a RemoteThing of an unknown name that is bound, with bindings from its metadata")
	f.BoolVar(&opt.Strict, "strict", false, "know only the Things of the file and those created by a service")
	f.StringVar(&sync, "sync", string(simulator.SyncOld), "synchronisation: old, new or both")
	f.StringVar(&refusal, "bind-refusal", string(simulator.RefuseWhole), "what a refused name does to the others of its BIND: whole or partial")
	f.DurationVar(&opt.IdleTimeout, "idle-timeout", 60*time.Second, "close a connection on which nothing came for so long")
	f.DurationVar(&opt.AnswerLimit, "answer-limit", 30*time.Second, "how long a call waits for the edge")
	f.DurationVar(&opt.HoldDead, "hold-dead", 0, "how long a connection that ended without CLOSE keeps its names")
	f.StringVar(&opt.TLSCert, "tls-cert", "", "PEM file of the certificate; then wss and https")
	f.StringVar(&opt.TLSKey, "tls-key", "", "PEM file of its key")
	f.BoolVar(&opt.Compression, "compression", false, "accept permessage-deflate where it is offered")
	f.BoolVarP(&verbose, "verbose", "v", false, "log more")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if opt.Strict && cmd.Flags().Changed("auto") && auto {
			return errors.New("--auto and --strict exclude each other")
		}
		opt.Strict = opt.Strict || !auto
		opt.Sync, opt.BindRefusal = simulator.Sync(sync), simulator.BindRefusal(refusal)
		return platformFlags(opt)
	}
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		opt.Logger = newLogger(cmd.ErrOrStderr(), config.Log{Level: level(verbose), Format: config.LogAuto})
		p, err := simulator.New(opt)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w; another program listens there: choose another address with --listen, or stop it", err)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "simulated platform: edges at %s, REST at %s\n", p.WSURL(), p.URL())
		return p.Run(cmd.Context())
	})
	return cmd
}

// platformFlags finds what is wrong with the command line, in its own words; the
// simulator speaks of its options.
func platformFlags(opt simulator.Options) error {
	switch {
	case opt.Sync != simulator.SyncOld && opt.Sync != simulator.SyncNew && opt.Sync != simulator.SyncBoth:
		return fmt.Errorf("--sync %s is not known; expected old, new or both", opt.Sync)
	case opt.BindRefusal != simulator.RefuseWhole && opt.BindRefusal != simulator.RefusePartial:
		return fmt.Errorf("--bind-refusal %s is not known; expected whole or partial", opt.BindRefusal)
	case (opt.TLSCert == "") != (opt.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key: one without the other; expected both or neither")
	case opt.IdleTimeout < 0 || opt.AnswerLimit < 0 || opt.HoldDead < 0:
		return errors.New("--idle-timeout, --answer-limit, --hold-dead: a negative duration; expected zero or more")
	}
	return nil
}

func level(verbose bool) config.LogLevel {
	if verbose {
		return config.LogDebug
	}
	return config.LogInfo
}
