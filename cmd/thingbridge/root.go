package main

import (
	"github.com/spf13/cobra"
)

// failure is an error of a command that was called rightly. A nil err says that
// everything was told already.
type failure struct{ err error }

func (f *failure) Error() string {
	if f.err == nil {
		return "failed"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// action makes what a command does; its errors are failures, and errors of
// flags and arguments are not.
func action(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := do(cmd, args)
		if err == nil {
			return nil
		}
		if _, ok := err.(*failure); ok {
			return err
		}
		return &failure{err}
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "thingbridge",
		Short:         "joins MQTT devices with a ThingWorx platform",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		runCommand(), demoCommand(), checkCommand(), configCommand(), explainCommand(), testCommand(),
		presetsCommand(), reloadCommand(), statusCommand(), thingsCommand(), callCommand(), simulateCommand(), versionCommand(),
	)
	return root
}
