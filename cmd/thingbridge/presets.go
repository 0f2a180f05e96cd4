package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"thingbridge/mapping/presets"
)

func presetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "presets [NAME]",
		Short: "list the presets, or print one",
		Args:  cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				text, ok := presets.Open(args[0])
				if !ok {
					return fmt.Errorf("preset %q: there is none; there are %s", args[0], strings.Join(presets.Names(), ", "))
				}
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			for _, name := range presets.Names() {
				text, _ := presets.Open(name)
				first, _, _ := strings.Cut(string(text), "\n")
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-16s %s\n", name, strings.TrimSpace(strings.TrimPrefix(first, "#"))); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
