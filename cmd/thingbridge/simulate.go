package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "simulate a platform, devices, or an HTTP agent",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("simulate: a command is missing: platform, devices or agent")
		},
	}
	cmd.AddCommand(simulatePlatformCommand(), simulateDevicesCommand(), simulateAgentCommand())
	return cmd
}
