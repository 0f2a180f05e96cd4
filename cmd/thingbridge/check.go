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
		Args: arguments(0, 0),
	}
	configFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		file := configFile(cmd)
		c, problems := config.Load(config.Options{File: file, Flags: cmd.Flags(), Here: true})
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
			return fmt.Errorf("%s: %s%s", file, counted(len(problems)-warnings, "problem"), besides(warnings))
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is fine%s\n", file, besides(warnings))
		return err
	})
	return cmd
}

// besides names the warnings, if there are any.
func besides(warnings int) string {
	if warnings == 0 {
		return ""
	}
	return ", " + counted(warnings, "warning")
}

// counted is a number and what it counts.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
