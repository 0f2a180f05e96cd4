package main

import (
	"errors"
	"os"

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
			"masked, and what is wrong with the file is told on standard error. Without a\n" +
			"configuration file it prints the defaults: a file to begin with.",
		Args: cobra.NoArgs,
	}
	configFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		file := configFile(cmd)
		if isEmpty(file) {
			file = ""
		}
		c, problems := config.Draft(config.Options{File: file, Flags: cmd.Flags()})
		if file != "" || c == nil {
			tell(cmd.ErrOrStderr(), problems)
		}
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

// isEmpty reports whether the file is there and empty, as the one is that a
// shell has just made for this command's output.
func isEmpty(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}
