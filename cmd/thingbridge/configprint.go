package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"thingbridge/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "the configuration",
		Args:  arguments(0, 0),
		RunE:  func(*cobra.Command, []string) error { return errors.New("config: a command is missing: print") },
	}
	cmd.AddCommand(configPrintCommand())
	return cmd
}

func configPrintCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "print",
		Short: "print the full commented configuration with the values in force, secrets masked",
		Long: "Prints the full commented configuration with the values in force; secrets are\n" +
			"masked, and what is wrong with the file is told on standard error. Without a\n" +
			"configuration file it prints the defaults: a file to begin with. With --output\n" +
			"it writes a new file and never over one that is there, which a shell's > does.",
		Example: "  thingbridge config print --output thingbridge.yaml",
		Args:    arguments(0, 0),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file, which must not be there yet")
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
		if output != "" {
			return writeNew(output, text)
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	})
	return cmd
}

// writeNew makes a file that only its owner may read, since keys may be written
// into it. One that is there stays as it is.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and stays as it is; name another file, or remove it first", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// isEmpty reports whether the file is there and empty, as the one is that a
// shell has just made for this command's output.
func isEmpty(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}
