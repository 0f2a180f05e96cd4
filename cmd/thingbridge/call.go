package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func callCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call THING SERVICE [name=value…]",
		Short: "call a service of a device through a running bridge",
		Long: "Calls a service of a Thing's device through a running bridge and prints the result\n" +
			"as JSON. A value counts as what the service declares for that input: text is taken as\n" +
			"it stands, everything else is JSON (2.5, true, {\"a\": 1}). The bridge must allow it\n" +
			"(console.allow_calls).\n" +
			"Exit status: 0 done, 1 it failed or nothing answers, 2 called wrongly.",
		Example: "  thingbridge call pump-1 Add a=2 b=3",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := arguments(2, math.MaxInt)(cmd, args); err != nil {
				return err
			}
			_, err := splitInputs(args[2:])
			return err
		},
	}
	askFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		given, err := splitInputs(args[2:])
		if err != nil {
			return err
		}
		a, err := newAsker(cmd)
		if err != nil {
			return err
		}
		return callService(cmd, a, args[0], args[1], given)
	})
	return cmd
}

func callService(cmd *cobra.Command, a *asker, thing, service string, given map[string]string) error {
	types, err := inputTypes(cmd.Context(), a, thing, service)
	if err != nil {
		return err
	}
	inputs := map[string]json.RawMessage{}
	for _, name := range sortedNames(given) {
		if inputs[name], err = inputJSON(types[name], given[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	body, err := json.Marshal(inputs)
	if err != nil {
		return err
	}
	answer, err := a.ask(cmd.Context(), http.MethodPost, "/api/v1/things/"+url.PathEscape(thing)+"/services/"+url.PathEscape(service), body)
	if err != nil {
		return callProblem(a, err)
	}
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	var said struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
	}
	if len(said.Result) == 0 || string(said.Result) == "null" {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "done, without a result")
		return err
	}
	return printJSON(cmd.OutOrStdout(), said.Result)
}

// callProblem says what to do about a call that was not let through.
func callProblem(a *asker, err error) error {
	var refused *answerError
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusForbidden:
		return fmt.Errorf("the bridge at %s lets nobody call: set console.allow_calls to true in its configuration; no restart is needed", a.base)
	case errors.As(err, &refused):
		return fmt.Errorf("%w (%d)", err, refused.status)
	}
	return err
}

func splitInputs(args []string) (map[string]string, error) {
	given := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is no input; expected name=value", arg)
		}
		if _, twice := given[name]; twice {
			return nil, fmt.Errorf("the input %q is given twice", name)
		}
		given[name] = value
	}
	return given, nil
}

// inputTypes gives the declared base types of a service's inputs.
func inputTypes(ctx context.Context, a *asker, thing, service string) (map[string]string, error) {
	body, err := a.get(ctx, "/api/v1/things/"+url.PathEscape(thing))
	if err != nil {
		return nil, err
	}
	var t shownThing
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
	}
	types := map[string]string{}
	for name, field := range t.Metadata.Services[service].Inputs.Fields {
		types[name] = field.Type
	}
	return types, nil
}

// inputJSON writes a value of the command line as JSON.
func inputJSON(baseType, text string) (json.RawMessage, error) {
	switch baseType {
	case "", "VARIANT":
		if json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
	case "NUMBER", "INTEGER", "LONG", "BOOLEAN", "JSON", "INFOTABLE", "LOCATION":
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("%q is no %s; expected JSON, for example %s", text, baseType, sampleOf[baseType])
		}
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}

var sampleOf = map[string]string{
	"NUMBER": "2.5", "INTEGER": "2", "LONG": "2", "BOOLEAN": "true", "JSON": `{"a": 1}`,
	"INFOTABLE": `[{"a": 1}]`, "LOCATION": `{"latitude": 48.1, "longitude": 11.6}`,
}
