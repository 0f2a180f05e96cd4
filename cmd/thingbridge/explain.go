package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/config"
	"thingbridge/mapping"
	"thingbridge/mapping/cases"
	"thingbridge/mapping/presets"
)

func explainCommand() *cobra.Command {
	var announced []string
	var retained bool
	cmd := &cobra.Command{
		Use:   "explain TOPIC [PAYLOAD|-]",
		Short: "which rules hear a message, what comes out, and if nothing, why",
		Long: "Says which rules of the configured profiles hear a message and what each makes of\n" +
			"it. PAYLOAD - is read from standard input. What a device says besides its\n" +
			"announcement means something only after that: give the announcement first, as\n" +
			"--announce 'TOPIC PAYLOAD'. Without a configuration file the native preset counts.\n" +
			"Exit status: 0 something came out, 1 nothing did.",
		Example: "  thingbridge explain things/pump-1/announce '{\"properties\": {\"temp\": \"NUMBER\"}}'\n" +
			"  thingbridge explain --announce 'things/pump-1/announce {}' things/pump-1/properties/temp 21.5",
		Args: arguments(1, 2),
	}
	configFlags(cmd)
	cmd.Flags().StringArrayVar(&announced, "announce", nil, "a message that comes before, 'TOPIC PAYLOAD' or 'TOPIC @FILE'; may be repeated")
	cmd.Flags().BoolVar(&retained, "retained", false, "the message is delivered as a retained one")
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		payload, err := payloadOf(cmd.InOrStdin(), args)
		if err != nil {
			return err
		}
		engine, err := commandEngine(cmd)
		if err != nil {
			return err
		}
		x := explainer{engine, engine.Sessions()}
		for _, message := range announced {
			if err := x.announce(message); err != nil {
				return fmt.Errorf("--announce %q: %w", message, err)
			}
		}
		return x.explain(cmd.OutOrStdout(), &mapping.Input{Topic: args[0], Payload: payload, Retained: retained, Now: time.Now()})
	})
	return cmd
}

func payloadOf(stdin io.Reader, args []string) ([]byte, error) {
	switch {
	case len(args) < 2:
		return nil, nil
	case args[1] == "-":
		return io.ReadAll(io.LimitReader(stdin, 64<<20))
	default:
		return []byte(args[1]), nil
	}
}

// commandEngine makes an Engine of the configured profiles; without a
// configuration file, of the native preset. The rest of the configuration need
// not be right: a secret, say, may be on another machine.
func commandEngine(cmd *cobra.Command) (*mapping.Engine, error) {
	if file := configFile(cmd); file != "" {
		c, problems := config.Draft(config.Options{File: file, Flags: cmd.Flags()})
		if c == nil || c.Profiles == nil {
			tell(cmd.ErrOrStderr(), problems)
			return nil, &failure{}
		}
		return mapping.NewEngine(c.Profiles, engineOptions(c)), nil
	}
	profiles, problems := mapping.Load(nil, "", presets.Open)
	if config.Errors(problems) {
		tell(cmd.ErrOrStderr(), problems)
		return nil, &failure{}
	}
	return mapping.NewEngine(profiles, mapping.Options{}), nil
}

// hear lets the engine know the devices that a message announces.
func hear(engine *mapping.Engine, in *mapping.Input) error {
	known := false
	for _, effect := range engine.Handle(in, nil) {
		switch e := effect.(type) {
		case *mapping.Announced:
			if _, err := engine.Put(e.Device); err != nil {
				return err
			}
			known = true
		case *mapping.Gathering:
			// The messages of one device come one by one: each makes of it what can be made yet.
			known = true
			if err := gathered(engine, e.Thing); err != nil {
				return err
			}
		case *mapping.Rejected:
			return errors.New(e.Detail)
		}
	}
	if !known {
		return errors.New("it announces nothing")
	}
	return nil
}

func gathered(engine *mapping.Engine, thing string) error {
	for _, effect := range engine.Gathered(thing, time.Now()) {
		if e, ok := effect.(*mapping.Announced); ok {
			if _, err := engine.Put(e.Device); err != nil {
				return err
			}
		}
	}
	return nil
}

func explain(w io.Writer, engine *mapping.Engine, in *mapping.Input) error {
	if !mapping.ValidTopic(in.Topic) {
		return fmt.Errorf("%q is not a topic that a message can have", in.Topic)
	}
	found := engine.Explain(in)
	if len(found) == 0 {
		return fmt.Errorf("no rule listens to %s; these are listened to:\n  %s\n"+
			"A device may be listened to on topics of its own once it has announced itself: give its announcement too, --announce 'TOPIC PAYLOAD'",
			in.Topic, strings.Join(engine.Filters(), "\n  "))
	}
	something, unclaimed := false, false
	for _, ex := range found {
		fmt.Fprintf(w, "%s hears it as %s\n", ex.Rule, ex.Pattern)
		for _, name := range sortedNames(ex.Levels) {
			fmt.Fprintf(w, "    %s = %q\n", name, ex.Levels[name])
		}
		for _, effect := range ex.Effects {
			switch effect.(type) {
			case *mapping.Rejected:
			case *mapping.Unclaimed:
				unclaimed = true
			default:
				something = true
			}
			for _, line := range cases.Show(effect) {
				fmt.Fprintf(w, "  → %s\n", line)
			}
		}
		if ex.Why != "" {
			fmt.Fprintf(w, "  → nothing: %s\n", ex.Why)
		}
	}
	switch {
	case something:
		return nil
	case unclaimed:
		return errors.New("give the device's announcement too: --announce 'TOPIC PAYLOAD'")
	default:
		return &failure{}
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
