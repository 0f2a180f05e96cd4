package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// decoded hands an announcement to the profile's decoder.
func (h *handler) decoded(r *rule, s *scope) {
	in := h.decoderInput(r, s)
	ok, err := s.test(r.when)
	if err == nil && !ok {
		h.say("its condition when is not true")
		return
	}
	var frags []Fragment
	if err == nil {
		frags, err = r.prof.decoder.Decode(in)
	}
	if pass := (*Pass)(nil); errors.As(err, &pass) {
		h.say(pass.Why)
		if pass.Keep {
			return
		}
		frags, err = nil, nil
	}
	if err != nil {
		h.reject("", r.id, ReasonDefinition, firstLine(err.Error()))
		return
	}
	seen := map[string]bool{} // whether it says something new
	for i := range frags {
		f := &frags[i]
		name, err := ThingName(f.Thing)
		if err != nil {
			h.reject("", r.id, ReasonName, err.Error())
			continue
		}
		if _, again := seen[name]; !again {
			seen[name] = h.decodedOne(r, name, f)
		}
		if seen[name] {
			h.skipped(r, name, f.Skipped)
		}
	}
	for _, d := range h.known(r) {
		if _, ok := seen[d.Thing]; !ok {
			h.withoutSource(r, d)
		}
	}
}

// decodedOne announces the device of one fragment and reports whether that is new.
// The same said again changes nothing: what was delivered as retained before is
// retained still.
func (h *handler) decodedOne(r *rule, name string, f *Fragment) bool {
	part := Part{Source: strings.Clone(h.in.Topic), Retained: h.in.Retained, rule: r}
	have := h.e.announced(name, r.prof, f.Thing)
	var parts []Part
	if have != nil {
		for _, p := range have.Parts {
			if p.Source != part.Source && p.rule == r && r.announce.alone {
				continue // another device's
			}
			if p.Source != part.Source || p.rule != r {
				parts = append(parts, p)
				continue
			}
			if !bytes.Equal(p.Payload, h.in.Payload) {
				continue
			}
			if p.Retained || !h.in.Retained {
				h.dst = append(h.dst, &Announced{Rule: r.id, Device: have, Live: !h.in.Retained && !have.quiet, Fresh: !h.in.Retained})
				return false
			}
			part.Payload, part.made = p.Payload, p.made
		}
	}
	if part.Payload == nil {
		part.Payload = bytes.Clone(h.in.Payload)
	}
	if f.Whole && part.made == nil {
		var problems []buildProblem
		part.made, problems = h.e.make(r.prof, name, f, h.in.Now)
		for _, p := range problems {
			h.reject(name, r.id, p.reason, p.text)
		}
	}
	_ = h.finishDevice(r, name, f.Thing, sortParts(append(parts, part))) // it has told
	return true
}

const mostSkippedTold = 3

// skipped tells what a decoder left out; the device itself keeps all of it.
func (h *handler) skipped(r *rule, name string, list []string) {
	if len(list) == 0 {
		return
	}
	text := strings.Join(list[:min(len(list), mostSkippedTold)], "; ")
	if more := len(list) - mostSkippedTold; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	h.reject(name, r.id, ReasonDefinition, text)
}

func (h *handler) decoderInput(r *rule, s *scope) *DecoderInput {
	h.msg.read(h.in, r.format, r.encoding, h.e.opt.Limits)
	h.format, h.enc, h.read = r.format, r.encoding, true
	in := r.prof.decoderInput(h.in.Topic, h.in.Payload, s)
	if h.msg.err == nil {
		in.Value = h.msg.whole()
	}
	return in
}

func (p *profile) decoderInput(topic string, payload []byte, s *scope) *DecoderInput {
	in := &DecoderInput{Topic: topic, Payload: payload, Parameters: p.params, Beside: p.beside, Permits: p.permitsLearned, Levels: make(map[string]string, len(s.names))}
	for i, n := range s.names {
		in.Levels[n] = s.levels[i]
	}
	return in
}
