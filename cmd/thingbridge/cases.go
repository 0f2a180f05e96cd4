package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"thingbridge/config"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

const casesHelp = `Runs the mapping cases under DIR: files NAME.txtar. Each holds, in this order,

  -- profiles --                     the profiles, as in the configuration; without it: native
  -- message TOPIC [retained] --     a message from the broker and its payload
  -- call THING SERVICE --           a service call and its inputs, a JSON object
  -- write THING PROPERTY --         a property write and the value, in JSON
  -- read THING PROPERTY --          a property read
  -- want --                         what must have come out of all that stands before it

with any number of steps and wants. Requests are numbered request-1, request-2 and
so on. --update writes the wants anew from what comes out.`

func testCommand() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "run mapping cases with expected results",
		Long:  casesHelp,
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&update, "update", false, "write the expected results from what comes out")
	cmd.RunE = action(func(cmd *cobra.Command, args []string) error {
		files, err := caseFiles(args[0])
		if err != nil {
			return err
		}
		failed := 0
		for _, file := range files {
			problems, err := runCase(file, update)
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
			return fmt.Errorf("%d of %d cases failed", failed, len(files))
		}
		return nil
	})
	return cmd
}

func caseFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".txtar") {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no case under %s; expected files NAME.txtar", dir)
	}
	return files, err
}

// runCase gives the differences between what came out and what was wanted.
func runCase(file string, update bool) ([]string, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	c := &mappingCase{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	var problems []string
	for i := range archive.Files {
		section := &archive.Files[i]
		words := strings.Fields(section.Name)
		if len(words) == 0 || words[0] != "profiles" {
			if err := c.start(nil, file); err != nil {
				return nil, err
			}
		}
		if len(words) == 1 && words[0] == "want" {
			got := c.take()
			if update {
				section.Data = []byte(got)
			} else if want := string(section.Data); want != got {
				problems = append(problems, fmt.Sprintf("want:\n%sgot:\n%s", indent(want), indent(got)))
			}
			continue
		}
		if err := c.step(words, section.Data, file); err != nil {
			return problems, fmt.Errorf("-- %s --: %w", section.Name, err)
		}
	}
	if rest := c.take(); rest != "" {
		return problems, fmt.Errorf("nothing wants what came out at the end:\n%s", indent(rest))
	}
	if update {
		return problems, os.WriteFile(file, txtar.Format(archive), 0o644)
	}
	return problems, nil
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	return b.String()
}

// mappingCase is one file's engine, the calls that wait in it, and what came out.
type mappingCase struct {
	engine   *mapping.Engine
	now      time.Time
	requests int
	waiting  []*mapping.Call
	out      []string
}

// start makes the engine, once.
func (c *mappingCase) start(list *yaml.Node, file string) error {
	if c.engine != nil {
		return nil
	}
	profiles, problems := mapping.Load(list, file, presets.Open)
	if config.Errors(problems) {
		var errs []error
		for _, p := range problems {
			errs = append(errs, p)
		}
		return errors.Join(errs...)
	}
	next := func() int { c.requests++; return c.requests }
	c.engine = mapping.NewEngine(profiles, mapping.Options{
		NewRequestID:        func() string { return fmt.Sprintf("request-%d", next()) },
		NewNumericRequestID: func() int64 { return int64(next()) },
	})
	return nil
}

func (c *mappingCase) say(format string, args ...any) {
	c.out = append(c.out, fmt.Sprintf(format, args...))
}

func (c *mappingCase) take() string {
	var b strings.Builder
	for _, line := range c.out {
		b.WriteString(line + "\n")
	}
	c.out = nil
	return b.String()
}

var errStep = errors.New("not a step; expected profiles, message, call, write, read or want, as thingbridge test --help shows them")

func (c *mappingCase) step(words []string, data []byte, file string) error {
	switch {
	case len(words) == 1 && words[0] == "profiles":
		if c.engine != nil {
			return errors.New("the profiles must come first, and once")
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(data, &doc); err != nil {
			return err
		}
		if len(doc.Content) == 0 {
			return errors.New("no profiles in it")
		}
		return c.start(doc.Content[0], file)
	case len(words) == 2 && words[0] == "message", len(words) == 3 && words[0] == "message" && words[2] == "retained":
		c.message(&mapping.Input{Topic: words[1], Payload: []byte(strings.TrimSuffix(string(data), "\n")), Retained: len(words) == 3, Now: c.now})
		return nil
	case len(words) == 3 && slices.Contains([]string{"call", "write", "read"}, words[0]):
		return c.request(words[0], words[1], words[2], data)
	}
	return errStep
}

func (c *mappingCase) message(in *mapping.Input) {
	for _, effect := range c.engine.Handle(in, nil) {
		for _, line := range showEffect(effect) {
			c.say("%s", line)
		}
		switch e := effect.(type) {
		case *mapping.Announced:
			if _, err := c.engine.Put(e.Device); err != nil {
				c.say("refused: %v", err)
			}
		case *mapping.Left:
			c.engine.Remove(e.Thing)
		case *mapping.Reply:
			c.reply(e)
		}
	}
}

// reply offers a reply to the calls that wait, oldest first.
func (c *mappingCase) reply(e *mapping.Reply) {
	for i, call := range c.waiting {
		if call.Thing != e.Thing || call.Route != e.Route || e.Request != "" && call.Request != e.Request {
			continue
		}
		result, err, ok := call.Answer(e.Input)
		if !ok {
			continue
		}
		c.waiting = slices.Delete(c.waiting, i, i+1)
		if err != nil {
			c.say("  %s.%s ends: %s", call.Thing, call.Name, showCallError(err))
		} else {
			c.say("  %s.%s ends: %s", call.Thing, call.Name, showResult(result))
		}
		return
	}
	c.say("  nobody waits for it")
}

func showCallError(err error) string {
	var failed *mapping.CallError
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s: %s", failed.Code, failed.Text)
	}
	return err.Error()
}

func (c *mappingCase) request(kind, thing, name string, data []byte) error {
	var v any
	if text := strings.TrimSpace(string(data)); text != "" {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
	}
	var call *mapping.Call
	var err error
	switch kind {
	case "call":
		inputs, _ := v.(map[string]any)
		var row []alwayson.Named
		for _, input := range sortedNames(inputs) {
			row = append(row, alwayson.Named{Name: input, Value: mapping.Infer(inputs[input])})
		}
		call, err = c.engine.Call(thing, name, alwayson.OneRow(row...))
	case "write":
		call, err = c.engine.Write(thing, name, mapping.Infer(v))
	default:
		call, err = c.engine.Read(thing, name)
	}
	if err != nil {
		c.say("%s %s.%s: %s", kind, thing, name, showCallError(err))
		return nil
	}
	c.say("%s %s.%s within %s", kind, thing, name, config.FormatDuration(call.Timeout))
	for _, p := range call.Send {
		c.say("%s", strings.TrimRight(fmt.Sprintf("  send %s %s", p.Topic, p.Payload), " "))
	}
	if call.EchoProperty != "" {
		c.say("  ends once %s.%s arrives", thing, call.EchoProperty)
	}
	c.waiting = append(c.waiting, call)
	return nil
}
