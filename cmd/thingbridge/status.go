package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
)

func statusCommand() *cobra.Command {
	var alive, ready bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "how a running bridge is",
		Long: "Asks a running bridge how it is: both connections, the Things by state, what waits.\n" +
			"With --alive or --ready it only says whether the bridge lives, or whether both\n" +
			"connections stand; these need no token.\n" +
			"Exit status: 0 it is so, 1 it is not or nothing answers, 2 called wrongly.",
		Args: arguments(0, 0),
	}
	askFlags(cmd)
	cmd.Flags().BoolVar(&alive, "alive", false, "only: does it live")
	cmd.Flags().BoolVar(&ready, "ready", false, "only: do both connections stand, and if not, why")
	cmd.MarkFlagsMutuallyExclusive("alive", "ready")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		a, err := newAsker(cmd)
		if err != nil {
			return err
		}
		switch {
		case alive:
			return askAlive(cmd, a)
		case ready:
			return askReady(cmd, a)
		}
		var s status
		if done, err := a.into(cmd, "/api/v1/status", &s); done || err != nil {
			return err
		}
		return table(cmd.OutOrStdout(), statusRows(&s, time.Now()))
	})
	return cmd
}

func askAlive(cmd *cobra.Command, a *asker) error {
	var said struct {
		Status string `json:"status"`
	}
	if done, err := a.into(cmd, "/healthz", &said); done || err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), printable(said.Status))
	return err
}

func askReady(cmd *cobra.Command, a *asker) error {
	body, err := a.get(cmd.Context(), "/readyz")
	var refused *answerError
	if err != nil && !(errors.As(err, &refused) && refused.status == 503) {
		return err
	}
	if wantsJSON(cmd) {
		return errors.Join(printJSON(cmd.OutOrStdout(), body), silently(refused))
	}
	var said struct {
		Links []console.Link `json:"links"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
	}
	var rows [][]string
	for _, l := range said.Links {
		rows = append(rows, []string{l.Name, upText(l.Up), l.Reason})
	}
	if err := table(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	return silently(refused)
}

// silently fails without a word where something was refused: its reason has
// been printed.
func silently(refused *answerError) error {
	if refused == nil {
		return nil
	}
	return &failure{}
}

func upText(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func statusRows(s *status, now time.Time) [][]string {
	rows := [][]string{
		{"bridge", s.ClientID, "thingbridge " + s.Version + ", started " + ago(now, s.Bridge.Started) + " ago"},
		{"broker", upText(s.Broker.Up), linkText(now, s.Broker.Since, s.Broker.Up, s.Broker.Broker, s.Broker.LastError)},
		{"platform", upText(s.Platform.Up), linkText(now, s.Platform.Since, s.Platform.Up, roundTrip(s.Platform.RTT), s.Platform.LastError)},
		{"things", fmt.Sprint(sum(s.Bridge.Things)), counts(s.Bridge.Things)},
		{"bound", fmt.Sprint(s.Platform.Bound), fmt.Sprintf("of %d wanted, %d refused", s.Platform.Wanted, s.Platform.Refused)},
		{"calls", fmt.Sprint(s.Bridge.CallsInFlight), "in flight"},
		{"outbox", fmt.Sprint(s.Outbox.Records), outboxText(&s.Outbox, now)},
	}
	rows = append(rows, edgeRows(s, now)...)
	rows = append(rows, configRows(&s.Config, now)...)
	if lost := counts(s.Outbox.Dropped); lost != "" {
		rows = append(rows, []string{"dropped", fmt.Sprint(sum(s.Outbox.Dropped)), lost})
	}
	if s.Outbox.Error != "" {
		rows = append(rows, []string{"disk", "failing", s.Outbox.Error})
	}
	for _, filter := range sortedNames(s.Broker.Filters) {
		rows = append(rows, []string{"filter", "refused", filter + ": " + s.Broker.Filters[filter]})
	}
	for _, name := range sortedNames(s.Bridge.Clashes) {
		rows = append(rows, []string{"clash", name, s.Bridge.Clashes[name]})
	}
	for _, u := range s.Bridge.Unannounced {
		rows = append(rows, []string{"unknown", u.Thing, fmt.Sprintf("has not announced itself: %s, the last %s ago", waiting(u.Messages), ago(now, u.Last))})
	}
	if more := s.Bridge.Strangers - len(s.Bridge.Unannounced); more > 0 {
		rows = append(rows, []string{"unknown", fmt.Sprintf("and %d more", more), ""})
	}
	return append(rows, problemRows(s.Bridge.Problems, now)...)
}

func waiting(messages int) string {
	if messages == 1 {
		return "1 message waits"
	}
	return fmt.Sprintf("%d messages wait", messages)
}

func problemRows(problems []bridge.Problem, now time.Time) [][]string {
	var rows [][]string
	for _, p := range problems {
		rows = append(rows, []string{"problem", p.Kind, p.Text + howOften(p.Count, ago(now, p.Time))})
	}
	return rows
}

// howOften says how often something came, and when last.
func howOften(count int, last string) string {
	if count == 1 {
		return fmt.Sprintf(" (once, %s ago)", last)
	}
	return fmt.Sprintf(" (%d times, last %s ago)", count, last)
}

func linkText(now, since time.Time, up bool, detail, last string) string {
	if !up {
		detail = last
	}
	text := "since " + ago(now, since)
	if since.IsZero() {
		text = "not connected yet"
	}
	if detail != "" {
		text += ", " + detail
	}
	return text
}

func roundTrip(rtt string) string {
	if rtt == "" {
		return ""
	}
	return "round trip " + rtt
}

func outboxText(o *outboxStatus, now time.Time) string {
	what := "values wait"
	if o.Records == 1 {
		what = "value waits"
	}
	text := fmt.Sprintf("%s for %s, %s of %s (%s)", what, counted(o.Things, "Thing"), size(o.Bytes), size(o.MaxBytes), o.Mode)
	if !o.Oldest.IsZero() {
		text += ", the oldest for " + ago(now, o.Oldest)
	}
	return text
}

type number interface{ ~int | ~uint64 }

func sum[N number](m map[string]N) (total N) {
	for _, n := range m {
		total += n
	}
	return total
}

// counts lists what is not zero.
func counts[N number](m map[string]N) string {
	var parts []string
	for _, name := range sortedNames(m) {
		if m[name] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", m[name], name))
		}
	}
	return strings.Join(parts, ", ")
}
