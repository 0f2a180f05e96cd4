package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"thingbridge/config"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "find everything that is wrong with the configuration",
		Long: "Finds everything that is wrong with the configuration, one line each:\n" +
			"FILE:LINE:COL: path: problem; expected …\nExit status: 0 fine (warnings are fine), 1 problems, 2 called wrongly.",
		Args: cobra.NoArgs,
	}
	configFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		file := configFile(cmd)
		c, problems := config.Load(config.Options{File: file, Flags: cmd.Flags()})
		tell(cmd.OutOrStdout(), problems)
		warnings := 0
		for _, p := range problems {
			if p.Warning {
				warnings++
			}
		}
		if file == "" {
			file = "the environment (there is no file)"
		}
		if c == nil {
			return fmt.Errorf("%s: %d problems, %d warnings", file, len(problems)-warnings, warnings)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is fine, %d warnings\n", file, warnings)
		return err
	})
	return cmd
}
