package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge"
	"thingbridge/mapping"
)

// page is how many Things are asked for at a time.
const page = 5000

func thingsCommand() *cobra.Command {
	var prefix, state string
	cmd := &cobra.Command{
		Use:   "things [NAME]",
		Short: "the Things of a running bridge, or one of them",
		Long: "Lists the Things of a running bridge; with a NAME, all about one of them: its last\n" +
			"values, what the platform asks for, its services and what went wrong.\n" +
			"Exit status: 0 fine, 1 there is none such or nothing answers, 2 called wrongly.",
		Example: "  thingbridge things --state refused\n  thingbridge things pump-1 --json",
		Args:    arguments(0, 1),
	}
	askFlags(cmd)
	cmd.Flags().StringVar(&prefix, "prefix", "", "only Things whose names begin so")
	cmd.Flags().StringVar(&state, "state", "", "only Things in this state, for example ready, refused or offline, or with trouble")
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		a, err := newAsker(cmd)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return showThing(cmd, a, args[0])
		}
		return listThings(cmd, a, prefix, state)
	})
	return cmd
}

// listThings asks page by page. What changes meanwhile may be missed or show
// twice; it is a look and no snapshot.
func listThings(cmd *cobra.Command, a *asker, prefix, state string) error {
	raw := []json.RawMessage{}
	rows := [][]string{{"NAME", "STATE", "SINCE", "SEEN", "VALUES", "PROBLEMS", "PROFILE", "REASON"}}
	now := time.Now()
	for offset, total := 0, 1; offset < total; offset += page {
		body, err := a.get(cmd.Context(), fmt.Sprintf("/api/v1/things?limit=%d&offset=%d&prefix=%s&state=%s",
			page, offset, url.QueryEscape(prefix), url.QueryEscape(state)))
		if err != nil {
			return err
		}
		var answer struct {
			Things []json.RawMessage `json:"things"`
			Total  int               `json:"total"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
		}
		total = answer.Total
		for _, text := range answer.Things {
			var t bridge.ThingSummary
			if err := json.Unmarshal(text, &t); err != nil {
				return fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
			}
			raw = append(raw, text)
			rows = append(rows, []string{t.Name, t.State, ago(now, t.Since), ago(now, t.LastSeen), fmt.Sprint(t.Values), fmt.Sprint(t.Problems), t.Profile, t.Reason})
		}
	}
	if wantsJSON(cmd) {
		body, err := json.Marshal(map[string]any{"things": raw, "total": len(raw)})
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), body)
	}
	if len(raw) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "no Things")
		return err
	}
	return table(cmd.OutOrStdout(), fitted(rows, terminalWidth(cmd.OutOrStdout())))
}

// shownThing is what is shown of a Thing.
type shownThing struct {
	thingView
	Metadata  thingMetadata `json:"metadata"`
	Agent     string        `json:"agent"`     // of an edge thing; "" it is none
	Address   string        `json:"address"`   // the same
	Keepalive string        `json:"keepalive"` // the same
}

type thingMetadata struct {
	Services map[string]struct {
		Inputs struct {
			Fields map[string]struct {
				Type    string `json:"baseType"`
				Aspects struct {
					Required bool `json:"isRequired"`
				} `json:"aspects"`
			} `json:"fieldDefinitions"`
		} `json:"Inputs"`
		Outputs struct {
			Type string `json:"baseType"`
		} `json:"Outputs"`
	} `json:"serviceDefinitions"`
	Properties map[string]struct {
		Type string `json:"baseType"`
	} `json:"propertyDefinitions"`
}

func showThing(cmd *cobra.Command, a *asker, name string) error {
	if name == "" {
		return errors.New("the Thing's name is empty")
	}
	var t shownThing
	if done, err := a.into(cmd, "/api/v1/things/"+url.PathEscape(name), &t); done || err != nil {
		return err
	}
	now, out := time.Now(), cmd.OutOrStdout()
	for _, part := range [][][]string{thingRows(&t, now), valueRows(&t, now), serviceRows(&t), leftOutRows(&t), problemRows(t.Recent, now)} {
		if len(part) == 0 {
			continue
		}
		if err := table(out, part); err != nil {
			return err
		}
	}
	return nil
}

func thingRows(t *shownThing, now time.Time) [][]string {
	state := t.State + " since " + ago(now, t.Since)
	if t.Reason != "" {
		state += ": " + t.Reason
	}
	rows := [][]string{
		{"name", t.Name}, {"state", state}, {"seen", ago(now, t.LastSeen) + " ago"}, {"bound as", t.BoundAs},
		{"profile", t.Profile}, {"topics", mapping.TopicsText(t.Sources, ", ")},
		{"waiting", fmt.Sprintf("%d records, %s", t.QueuedRecords, size(t.QueuedBytes))}, {"calls", fmt.Sprint(t.Calls)},
	}
	if t.Agent != "" {
		rows[5] = []string{"agent", fmt.Sprintf("%s at %s, keepalive %s", t.Agent, t.Address, t.Keepalive)}
	}
	if t.Parent != "" {
		rows = append(rows, []string{"behind", t.Parent})
	}
	return rows
}

// valueRows shows what is known, what is asked for and what has no binding.
func valueRows(t *shownThing, now time.Time) [][]string {
	rows := [][]string{{"PROPERTY", "VALUE", "TYPE", "AGE", "QUALITY", "PLATFORM"}}
	asked := map[string]string{}
	for _, s := range t.Subscriptions {
		asked[s.Property] = "push " + s.Push
	}
	seen := map[string]bool{}
	row := func(name, value, age, quality string) {
		platform := asked[name]
		if n := t.MissingBindings[name]; n > 0 {
			platform = fmt.Sprintf("no binding (%d values)", n)
		}
		rows = append(rows, []string{name, value, t.Metadata.Properties[name].Type, age, quality, platform})
		seen[name] = true
	}
	for _, k := range t.Known {
		value, err := json.Marshal(k.Value)
		if err != nil {
			value = []byte("?")
		}
		row(k.Name, shorten(string(value), 60), ago(now, k.Time), k.Quality)
	}
	for _, names := range [][]string{sortedNames(t.Metadata.Properties), sortedNames(t.MissingBindings)} {
		for _, name := range names {
			if !seen[name] {
				row(name, "-", "-", "-")
			}
		}
	}
	if len(rows) == 1 {
		return nil
	}
	return rows
}

func serviceRows(t *shownThing) [][]string {
	var rows [][]string
	for _, name := range sortedNames(t.Metadata.Services) {
		s := t.Metadata.Services[name]
		var inputs []string
		for _, input := range sortedNames(s.Inputs.Fields) {
			f := s.Inputs.Fields[input]
			text := input + " " + f.Type
			if !f.Aspects.Required {
				text = "[" + text + "]"
			}
			inputs = append(inputs, text)
		}
		rows = append(rows, []string{"service", name + "(" + strings.Join(inputs, ", ") + ")", s.Outputs.Type})
	}
	return rows
}

// leftOutRows shows what the device announced and the bridge could not take.
func leftOutRows(t *shownThing) [][]string {
	var rows [][]string
	for _, text := range t.LeftOut {
		rows = append(rows, []string{"left out", text})
	}
	return rows
}

func shorten(s string, limit int) string {
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}
