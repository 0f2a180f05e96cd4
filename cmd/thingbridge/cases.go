package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"thingbridge/mapping/cases"
)

const casesHelp = `Runs the mapping cases under DIR: files NAME.txtar. Each holds, in this order,

  -- profiles --                     the profiles, as in the configuration; without it: native
  -- message TOPIC [retained] --     a message from the broker and its payload
  -- bytes TOPIC [retained] --       the same with the payload in hexadecimal digits
  -- sparkplug TOPIC --              a message whose payload is Sparkplug B, in JSON
  -- broker lost|back|forgot --      the broker is lost, back, or back without the session
  -- call THING SERVICE --           a service call and its inputs, a JSON object
  -- write THING PROPERTY --         a property write and the value, in JSON
  -- read THING PROPERTY --          a property read
  -- ask OCCASION [THING] --         what is asked: connect, or presence or announce of a Thing
  -- elapse DURATION --              time goes by; what nobody answered in its time ends
  -- want --                         what must have come out of all that stands before it

with any number of steps and wants. Topics and the last names may hold spaces; a
Thing's name with spaces stands in double quotes. Requests are numbered request-1,
request-2 and so on. --update writes the wants anew from what comes out.`

func testCommand() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "run mapping cases with expected results",
		Long:  casesHelp,
		Example: "  thingbridge test cases/\n" +
			"  thingbridge test cases/pump.txtar --update",
		Args: arguments(1, 1),
	}
	cmd.Flags().BoolVar(&update, "update", false, "write the expected results from what comes out")
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		files, err := cases.Files(args[0])
		if err != nil {
			return err
		}
		failed := 0
		for _, file := range files {
			problems, err := cases.RunFile(file, update)
			if err != nil {
				problems = append(problems, err.Error())
			}
			if len(problems) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "ok    %s\n", file)
				continue
			}
			failed++
			fmt.Fprintf(cmd.OutOrStdout(), "FAIL  %s\n%s\n", file, strings.Join(problems, "\n"))
		}
		if failed > 0 {
			return fmt.Errorf("%d of %s failed", failed, counted(len(files), "case"))
		}
		return nil
	})
	return cmd
}
