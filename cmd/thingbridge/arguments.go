package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// arguments wants at least and at most so many arguments, and says otherwise what
// the command expects.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n >= least && n <= most {
			return nil
		}
		_, wanted, takes := strings.Cut(cmd.Use, " ")
		if takes {
			return fmt.Errorf("called with %s; expected %s", counted(len(args), "argument"), wanted)
		}
		text := fmt.Sprintf("%q is too much: the command takes no argument", args[0])
		if cmd.Flags().Lookup("config") != nil {
			text += "; a configuration file is named with --config FILE"
		}
		return fmt.Errorf("%s", text)
	}
}
