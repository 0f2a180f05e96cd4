package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"thingbridge/mapping"
	"thingbridge/mapping/cases"
)

// explainer explains messages in the order in which they would come: what a
// session learns from one counts for the next.
type explainer struct {
	engine   *mapping.Engine
	sessions *mapping.Sessions
}

// announce lets the engine know what a message announces; message is 'TOPIC
// PAYLOAD' or 'TOPIC @FILE'.
func (x *explainer) announce(message string) error {
	topic, text, _ := strings.Cut(message, " ")
	payload := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if payload, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	in := &mapping.Input{Topic: topic, Payload: payload, Now: time.Now()}
	turn := mapping.Turn{Now: in.Now}
	if !x.sessions.Message(in, &turn) {
		in.Retained = true
		return hear(x.engine, in)
	}
	err := errors.New("it announces nothing")
	for _, step := range turn.Steps {
		if refused, ok := step.Effect.(*mapping.Rejected); ok {
			return errors.New(refused.Detail)
		}
		if step.Input != nil && hear(x.engine, step.Input) == nil {
			err = nil
		}
	}
	return err
}

// explain says what a message means, and where a session stands before the rules
// what that makes of it.
func (x *explainer) explain(w io.Writer, in *mapping.Input) error {
	turn := mapping.Turn{Now: in.Now}
	if !x.sessions.Message(in, &turn) {
		return explain(w, x.engine, in)
	}
	var err error = &failure{}
	fmt.Fprintln(w, "a session stands before the rules, since what the message means depends on those before it")
	for _, step := range turn.Steps {
		if step.Input == nil {
			for _, line := range cases.Show(step.Effect) {
				fmt.Fprintf(w, "  → %s\n", line)
			}
			continue
		}
		fmt.Fprintf(w, "it gives a message on %s\n", step.Input.Topic)
		if stepErr := explain(w, x.engine, step.Input); stepErr == nil {
			err = nil
		}
		_ = hear(x.engine, step.Input) // what comes next may be of this device
	}
	for _, q := range turn.Send {
		fmt.Fprintf(w, "  → sends %s %s\n", q.Topic, cases.ShowPayload(q.Payload))
	}
	return err
}
