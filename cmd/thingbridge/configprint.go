package main

import (
	"errors"

	"github.com/spf13/cobra"

	"thingbridge/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return errors.New("config: a command is missing: print") },
	}
	cmd.AddCommand(configPrintCommand())
	return cmd
}

func configPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "print the full commented configuration with the values in force, secrets masked",
		Long: "Prints the full commented configuration with the values in force; secrets are\n" +
			"masked. Without a configuration file it prints the defaults: a file to begin with.",
		Args: cobra.NoArgs,
	}
	configFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		file := configFile(cmd)
		c, problems := config.Load(config.Options{File: file, Flags: cmd.Flags()})
		if c == nil && file == "" {
			_, err := cmd.OutOrStdout().Write(config.Sample())
			return err
		}
		tell(cmd.ErrOrStderr(), problems)
		if c == nil {
			return &failure{}
		}
		text, err := config.Print(c)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	})
	return cmd
}
