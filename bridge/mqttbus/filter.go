package mqttbus

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxString is the longest text, in bytes, that an MQTT packet can hold.
const maxString = 65535

// checkText refuses what no MQTT text may be.
func checkText(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("the %s is empty", what)
	case len(s) > maxString:
		return fmt.Errorf("the %s has %d bytes; at most %d fit", what, len(s), maxString)
	case !utf8.ValidString(s):
		return fmt.Errorf("the %s %q is not UTF-8", what, clip(s))
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("the %s %q holds a NUL", what, clip(s))
	}
	return nil
}

// checkTopic says why s cannot be published to; nil if it can.
func checkTopic(s string) error {
	if err := checkText("topic", s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return fmt.Errorf("the topic %q holds a wildcard", clip(s))
	}
	return nil
}

// checkFilter says why s cannot be subscribed; nil if it can.
func checkFilter(s string) error {
	if err := checkText("topic filter", s); err != nil {
		return err
	}
	f := s
	if rest, ok := strings.CutPrefix(s, sharePrefix); ok {
		group, filter, ok := strings.Cut(rest, "/")
		if !ok || group == "" || filter == "" || strings.ContainsAny(group, "+#") {
			return fmt.Errorf("the shared topic filter %q is not of the form $share/group/filter", clip(s))
		}
		f = filter
	}
	for rest, more := f, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "+" || level == "#" && !more {
			continue
		}
		if level == "#" {
			return fmt.Errorf("the topic filter %q has # before its last level", clip(s))
		}
		if strings.ContainsAny(level, "+#") {
			return fmt.Errorf("the topic filter %q has a wildcard beside other characters of a level", clip(s))
		}
	}
	return nil
}

var errBadTopic = errors.New("not a topic")

const sharePrefix = "$share/"

func clip(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// filterSet finds out which filters are covered by others: whatever matches
// them matches another one too. Shared filters cover nothing and are not covered.
type filterSet struct{ root filterNode }

type filterNode struct {
	next map[string]*filterNode
	end  bool
}

func (s *filterSet) add(filter string) {
	if strings.HasPrefix(filter, sharePrefix) {
		return
	}
	n := &s.root
	for level := range strings.SplitSeq(filter, "/") {
		child := n.next[level]
		if child == nil {
			child = &filterNode{}
			if n.next == nil {
				n.next = make(map[string]*filterNode)
			}
			n.next[level] = child
		}
		n = child
	}
	n.end = true
}

// covers reports whether another filter of the set matches all that filter matches.
func (s *filterSet) covers(filter string) bool {
	if strings.HasPrefix(filter, sharePrefix) {
		return false
	}
	return s.root.covers(strings.Split(filter, "/"), true, true)
}

// covers walks the filters that are at least as wide as levels. first is true
// at the first level, same as long as the walk followed filter itself.
func (n *filterNode) covers(levels []string, first, same bool) bool {
	system := first && strings.HasPrefix(levels[0], "$")
	if all := n.next["#"]; all != nil && all.end && !system {
		itself := same && len(levels) == 1 && levels[0] == "#"
		if !itself {
			return true
		}
	}
	if len(levels) == 0 {
		return n.end && !same
	}
	if levels[0] == "#" {
		return false
	}
	if child := n.next[levels[0]]; child != nil && child.covers(levels[1:], false, same) {
		return true
	}
	if levels[0] == "+" || system {
		return false
	}
	child := n.next["+"]
	return child != nil && child.covers(levels[1:], false, false)
}
