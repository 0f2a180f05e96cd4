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
		Args:  arguments(0, 1),
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
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-16s %s\n", name, firstSentence(string(text))); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// firstSentence gives the first sentence of the comment that a text begins with.
func firstSentence(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(comment))
	}
	sentence, _, more := strings.Cut(strings.Join(words, " "), ". ")
	if more {
		sentence += "."
	}
	return sentence
}
