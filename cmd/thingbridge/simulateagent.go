package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge/devicesim"
	"thingbridge/config"
)

func simulateAgentCommand() *cobra.Command {
	var opt devicesim.AgentOptions
	var verbose bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "an HTTP agent as those made for PTC's Edge MicroServer",
		Long: "An agent that speaks HTTP as a Lua Script Resource does: it registers its Thing at\n" +
			"LocalEms of the bridge's REST listener (rest.edge_things), looks now and then whether it\n" +
			"still is, pushes a temperature, and serves properties and the services Add {a, b},\n" +
			"Echo {text}, Table, Fail and Wait {ms}. It logs what it is asked.",
		Example: "  thingbridge simulate agent --rest http://127.0.0.1:8000 --name agent-1",
		Args:    arguments(0, 0),
	}
	f := cmd.Flags()
	f.StringVar(&opt.REST, "rest", "http://127.0.0.1:8000", "where to register: the bridge's rest.listen")
	f.StringVar(&opt.Token, "token", "", "the bridge's rest.token, if it has one")
	f.StringVar(&opt.Name, "name", "agent-1", "its Thing's name, or * and its identifier")
	f.StringVar(&opt.Listen, "listen", "127.0.0.1:0", "address to listen on")
	f.StringVar(&opt.Path, "path", "/scripts/Thingworx", "under which it serves its Thing")
	f.StringVar(&opt.User, "user", "", "user that whoever calls it has to be")
	f.StringVar(&opt.Password, "password", "", "that user's password")
	f.BoolVar(&opt.CSRF, "csrf", false, "want the CSRF token of the last answer with each request")
	f.DurationVar(&opt.Interval, "interval", time.Second, "time between two values that it pushes")
	f.DurationVar(&opt.Check, "check", time.Minute, "time between two looks whether it is still registered; its keepalive")
	f.BoolVarP(&verbose, "verbose", "v", false, "log more")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		opt.Logger = newLogger(cmd.ErrOrStderr(), config.Log{Level: level(verbose), Format: config.LogAuto})
		a, err := devicesim.NewAgent(opt)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "agent of %s at http://%s%s, registers at %s\n", opt.Name, a.Address(), opt.Path, opt.REST)
		return a.Run(cmd.Context())
	})
	return cmd
}
