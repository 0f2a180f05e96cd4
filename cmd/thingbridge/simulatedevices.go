package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge/devicesim"
	"thingbridge/config"
)

func simulateDevicesCommand() *cobra.Command {
	var opt devicesim.Options
	var shared, verbose bool
	var password string
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "MQTT devices for people without some",
		Args:  arguments(0, 0),
	}
	f := cmd.Flags()
	f.StringVar(&opt.Broker, "broker", "tcp://127.0.0.1:1883", "the broker's URL")
	f.StringVar(&opt.Username, "username", "", "user name at the broker")
	f.StringVar(&password, "password", "", "its password: ${file:PATH}, ${env:NAME} or the text itself")
	f.StringVar(&opt.Family, "family", "native", "one of "+strings.Join(devicesim.Families(), ", "))
	f.IntVar(&opt.Count, "count", 1, "how many")
	f.DurationVar(&opt.Interval, "interval", time.Second, "time between the values of one device")
	f.StringVar(&opt.Prefix, "prefix", "pump-", "their names are this and a number from 1")
	f.Uint64Var(&opt.Seed, "seed", 0, "equal seeds give equal values")
	f.BoolVar(&shared, "shared", false, "let many devices share a connection (default: one each, up to 1000 devices)")
	f.BoolVarP(&verbose, "verbose", "v", false, "log more")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		secret, err := config.NewSecret(password)
		if err != nil {
			return fmt.Errorf("--password: %w", err)
		}
		if opt.Password, err = secret.Resolve(); err != nil {
			return fmt.Errorf("--password: %w", err)
		}
		opt.OneConnectionPerDevice = !shared && opt.Count <= 1000
		opt.Logger = newLogger(cmd.ErrOrStderr(), config.Log{Level: level(verbose), Format: config.LogAuto})
		s, err := devicesim.New(opt)
		if err != nil {
			return err
		}
		names := s.Names()
		if len(names) == 0 {
			return fmt.Errorf("--count 0: nothing to simulate")
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d %s devices, %s to %s, at %s\n", len(names), opt.Family, names[0], names[len(names)-1], opt.Broker)
		return s.Run(cmd.Context())
	})
	return cmd
}
