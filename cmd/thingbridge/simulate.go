package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "simulate a platform, or devices",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("simulate: a command is missing: platform or devices")
		},
	}
	cmd.AddCommand(simulatePlatformCommand(), simulateDevicesCommand())
	return cmd
}
