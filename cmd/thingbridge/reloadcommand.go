package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "have a running bridge read its configuration again",
		Long: "Has a running bridge read its configuration again, as SIGHUP and a change of the\n" +
			"file do, and tells what became of it.\n" +
			"Exit status: 0 it is in force, 1 it was refused or nothing answers, 2 called wrongly.",
		Args: arguments(0, 0),
	}
	askFlags(cmd)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		a, err := newAsker(cmd)
		if err != nil {
			return err
		}
		body, err := a.ask(cmd.Context(), "POST", "/api/v1/reload", []byte("{}"))
		if err != nil {
			return err
		}
		var out reloadOutcome
		if err := json.Unmarshal(body, &out); err != nil {
			return fmt.Errorf("the bridge at %s answers in another form than this version knows: %w", a.base, err)
		}
		if wantsJSON(cmd) {
			err = printJSON(cmd.OutOrStdout(), body)
		} else {
			err = table(cmd.OutOrStdout(), outcomeRows(&out, time.Now()))
		}
		if err == nil && !out.OK {
			return &failure{}
		}
		return err
	})
	return cmd
}

// outcomeRows say how a reload ended.
func outcomeRows(o *reloadOutcome, now time.Time) [][]string {
	if !o.OK {
		rows := [][]string{{"refused", "the configuration before stays in force"}}
		for _, p := range o.Problems {
			rows = append(rows, []string{"problem", p})
		}
		return rows
	}
	rows := [][]string{{"reloaded", "changed: " + listed(o.Changed)}}
	if e := o.Earlier; e != nil && len(e.Changed) > 0 {
		rows = append(rows, []string{"before", fmt.Sprintf("%s ago (%s) changed: %s", ago(now, e.Time), e.Why, listed(e.Changed))})
	}
	if len(o.Restart) > 0 {
		rows = append(rows, []string{"restart", "needed for: " + listed(o.Restart)})
	}
	return rows
}

// configRows say how a bridge's configuration stands.
func configRows(s *reloadState, now time.Time) [][]string {
	if s.Sum == "" {
		return nil // of a bridge that does not tell
	}
	file := s.File
	if file == "" {
		file = "no file"
	}
	rows := [][]string{{"config", file, fmt.Sprintf("loaded %s ago, sha256 %.12s", ago(now, s.Loaded), s.Sum)}}
	if len(s.Restart) > 0 {
		rows = append(rows, []string{"config", "restart", "needed for: " + strings.Join(s.Restart, " ")})
	}
	if l := s.Last; l != nil && !l.OK {
		rows = append(rows, []string{"config", "refused", fmt.Sprintf("%s ago (%s); the one before stays in force", ago(now, l.Time), l.Why)})
		for _, p := range l.Problems {
			rows = append(rows, []string{"config", "problem", p})
		}
	}
	return rows
}
