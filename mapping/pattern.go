package mapping

import (
	"fmt"
	"strings"
)

// pattern is a topic that is listened to. Each level is literal text, one
// wildcard, or a name between a literal prefix and suffix.
type pattern struct {
	text   string // as written, ${} filled
	filter string
	levels []patternLevel
	names  []string // of the named levels, in order
	rest   bool     // the last level is {name...} or #
	plain  bool     // no named level needs its prefix or suffix checked
}

type patternLevel struct {
	name           string // "" for literals and unnamed wildcards
	prefix, suffix string
	wild           bool // + or {name}
	rest           bool // # or {name...}
}

// parsePattern reads a pattern whose ${…} are filled already.
func parsePattern(text string) (*pattern, error) {
	p := &pattern{text: text, plain: true}
	if text == "" {
		return nil, fmt.Errorf("the topic is empty")
	}
	filter := make([]string, 0, strings.Count(text, "/")+1)
	parts := strings.Split(text, "/")
	for i, part := range parts {
		level, sub, err := parseLevel(part)
		if err != nil {
			return nil, err
		}
		if level.rest && i != len(parts)-1 {
			return nil, fmt.Errorf("%q takes the rest of the topic and must be its last level", part)
		}
		if level.name != "" {
			for _, n := range p.names {
				if n == level.name {
					return nil, fmt.Errorf("the level {%s} stands twice", n)
				}
			}
			p.names = append(p.names, level.name)
		}
		p.rest = p.rest || level.rest
		if level.wild && (level.prefix != "" || level.suffix != "") {
			p.plain = false
		}
		p.levels = append(p.levels, level)
		filter = append(filter, sub)
	}
	p.filter = strings.Join(filter, "/")
	if !ValidFilter(p.filter) {
		return nil, fmt.Errorf("%q is not a topic filter", p.filter)
	}
	return p, nil
}

func parseLevel(part string) (patternLevel, string, error) {
	switch part {
	case "+":
		return patternLevel{wild: true}, "+", nil
	case "#":
		return patternLevel{rest: true}, "#", nil
	}
	open := strings.IndexByte(part, '{')
	if open < 0 {
		if strings.ContainsAny(part, "+#") {
			return patternLevel{}, "", fmt.Errorf("the level %q mixes a wildcard with text", part)
		}
		return patternLevel{prefix: part}, part, nil
	}
	end := strings.IndexByte(part, '}')
	if end < open {
		return patternLevel{}, "", fmt.Errorf("the level %q lacks its closing brace", part)
	}
	l := patternLevel{prefix: part[:open], name: part[open+1 : end], suffix: part[end+1:], wild: true}
	if strings.ContainsAny(l.prefix+l.suffix, "{}+#") {
		return patternLevel{}, "", fmt.Errorf("the level %q holds more than one name or wildcard", part)
	}
	if name, ok := strings.CutSuffix(l.name, "..."); ok {
		if l.prefix != "" || l.suffix != "" {
			return patternLevel{}, "", fmt.Errorf("the level %q must be {%s...} alone", part, name)
		}
		l.name, l.wild, l.rest = name, false, true
	}
	if !isIdentifier(l.name) {
		return patternLevel{}, "", fmt.Errorf("the level name %q is not a name of letters, digits and _", l.name)
	}
	if l.rest {
		return l, "#", nil
	}
	return l, "+", nil
}

// literalPattern makes the pattern of a topic whose text means only itself.
func literalPattern(topic string) *pattern {
	return &pattern{text: topic, filter: topic, plain: true}
}

// capture appends the values of the named levels of a topic that the filter
// matches, in the order of names. ok is false when a prefix or suffix is missing.
func (p *pattern) capture(topic string, dst []string) (_ []string, ok bool) {
	if len(p.names) == 0 && p.plain {
		return dst, true
	}
	for i := range p.levels {
		l := &p.levels[i]
		if l.rest {
			if l.name != "" {
				dst = append(dst, topic)
			}
			return dst, true
		}
		level, tail, _ := strings.Cut(topic, "/")
		topic = tail
		if !l.wild {
			continue
		}
		if len(level) < len(l.prefix)+len(l.suffix) || !strings.HasPrefix(level, l.prefix) || !strings.HasSuffix(level, l.suffix) {
			return dst, false
		}
		if l.name != "" {
			dst = append(dst, level[len(l.prefix):len(level)-len(l.suffix)])
		}
	}
	return dst, true
}

// isRest reports whether the level called name takes the rest of the topic.
func (p *pattern) isRest(name string) bool {
	return p.rest && len(p.levels) > 0 && p.levels[len(p.levels)-1].name == name
}

// namePattern matches the names of services and properties: plain text, "*",
// or text with named parts as in "Power{n}".
type namePattern struct {
	level patternLevel
	any   bool
}

func parseNamePattern(text string) (namePattern, error) {
	if text == "*" {
		return namePattern{any: true}, nil
	}
	l, _, err := parseLevel(text)
	if err == nil && l.rest {
		err = fmt.Errorf("the name %q cannot take the rest of a topic", text)
	}
	return namePattern{level: l}, err
}

// exact reports whether the pattern is one plain name.
func (p namePattern) exact() bool { return !p.any && !p.level.wild }

// match reports whether name fits, and the value of the named part.
func (p namePattern) match(name string) (value string, ok bool) {
	switch l := p.level; {
	case p.any:
		return "", true
	case !l.wild:
		return "", l.prefix == name
	case len(name) > len(l.prefix)+len(l.suffix) && strings.HasPrefix(name, l.prefix) && strings.HasSuffix(name, l.suffix):
		return name[len(l.prefix) : len(name)-len(l.suffix)], true
	}
	return "", false
}

func isIdentifier(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
