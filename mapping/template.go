package mapping

import (
	"errors"
	"fmt"
	"strings"
)

// template is text with ${expression}.
type template struct {
	text  string
	parts []templatePart
	json  bool // starts with { or [: what is inserted is encoded
}

type templatePart struct {
	literal string
	x       *expression // nil: literal
	quoted  bool        // stands inside a JSON string
	slash   bool        // its value may hold '/' in a topic
}

// parseTemplate reads text; `$${` is a literal `${`.
func parseTemplate(text string) (*template, error) {
	t := &template{text: text}
	trimmed := strings.TrimLeft(text, " \t\r\n")
	t.json = strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[")
	var literal strings.Builder
	quoted := false
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, templatePart{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "$${"):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(text[i:], "${"):
			n, err := expressionEnd(text[i+2:])
			if err != nil {
				return nil, err
			}
			x, err := compileExpression(text[i+2 : i+2+n])
			if err != nil {
				return nil, err
			}
			flush()
			t.parts = append(t.parts, templatePart{x: x, quoted: quoted})
			i += n + 3
		default:
			c := text[i]
			if t.json && c == '\\' && quoted && i+1 < len(text) {
				literal.WriteByte(c)
				i++
				c = text[i]
			} else if t.json && c == '"' {
				quoted = !quoted
			}
			literal.WriteByte(c)
			i++
		}
	}
	flush()
	return t, nil
}

// expressionEnd finds the brace that closes an expression.
func expressionEnd(s string) (int, error) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"', '`':
			end := closingQuote(s[i+1:], c)
			if end < 0 {
				return 0, errors.New("a quote inside ${…} is not closed")
			}
			i += end + 1
		case '{', '[', '(':
			depth++
		case ']', ')':
			depth--
		case '}':
			if depth <= 0 {
				return i, nil
			}
			depth--
		}
	}
	return 0, errors.New("${ is not closed by }")
}

func closingQuote(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && quote != '`' {
			i++
		} else if s[i] == quote {
			return i
		}
	}
	return -1
}

// literalTemplate is a template whose text means only itself.
func literalTemplate(text string) *template {
	return &template{text: text, parts: []templatePart{{literal: text}}}
}

// constant reports whether t has no expressions, and its text.
func (t *template) constant() (string, bool) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.x != nil {
			return "", false
		}
		b.WriteString(p.literal)
	}
	return b.String(), true
}

// free gives the names that t takes from its surroundings.
func (t *template) free() []string {
	seen := map[string]bool{}
	for _, p := range t.parts {
		if p.x != nil {
			for _, n := range p.x.free {
				seen[n] = true
			}
		}
	}
	return sortedKeys(seen)
}

func (t *template) uses(name string) bool {
	for _, p := range t.parts {
		if p.x != nil && p.x.uses(name) {
			return true
		}
	}
	return false
}

// name renders text in which nothing may be absent.
func (t *template) name(s *scope) (string, error) {
	if len(t.parts) == 1 {
		return t.parts[0].render(s)
	}
	var b strings.Builder
	for i := range t.parts {
		text, err := t.parts[i].render(s)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p *templatePart) render(s *scope) (string, error) {
	if p.x == nil {
		return p.literal, nil
	}
	v, err := s.eval(p.x)
	if err != nil {
		return "", err
	}
	text, ok := templateText(v)
	if !ok {
		return "", fmt.Errorf("${%s} has no value", p.x.text)
	}
	return text, nil
}

// optional renders text; an absent value is empty.
func (t *template) optional(s *scope) (string, error) {
	if t == nil {
		return "", nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.x == nil {
			b.WriteString(p.literal)
			continue
		}
		v, err := s.eval(p.x)
		if err != nil {
			return "", err
		}
		text, _ := templateText(v)
		b.WriteString(text)
	}
	return b.String(), nil
}

// topic renders a topic to send to, or to listen to for one device. What is
// inserted must not hold wildcards or NUL, nor '/' where it came from a payload
// or from the platform.
func (t *template) topic(s *scope) (string, error) {
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		text, err := p.render(s)
		if err != nil {
			return "", err
		}
		if p.x != nil {
			if err := checkInserted(p, text); err != nil {
				return "", err
			}
		}
		b.WriteString(text)
	}
	topic := b.String()
	if !ValidTopic(topic) {
		return "", fmt.Errorf("%q is not a topic", shorten(topic, 60))
	}
	return topic, nil
}

// checkInserted checks a value that stands in a topic.
func checkInserted(p *templatePart, text string) error {
	forbidden := "+#\x00"
	if !p.slash {
		forbidden = "/+#\x00"
	}
	if strings.ContainsAny(text, forbidden) {
		return fmt.Errorf("the value %q of ${%s} must not stand in a topic", shorten(text, 60), p.x.text)
	}
	if text == "" {
		return fmt.Errorf("${%s} is empty and cannot stand in a topic", p.x.text)
	}
	return nil
}

// payload renders a payload. Bytes of a lone expression stay as they are.
func (t *template) payload(s *scope) ([]byte, error) {
	if t == nil {
		return nil, nil
	}
	out := make([]byte, 0, len(t.text)+32)
	for i := range t.parts {
		p := &t.parts[i]
		if p.x == nil {
			out = append(out, p.literal...)
			continue
		}
		v, err := s.eval(p.x)
		if err != nil {
			return nil, err
		}
		switch {
		case t.json && !p.quoted:
			out = appendAny(out, v)
		case t.json:
			text, _ := templateText(v)
			out = appendEscaped(out, validText(text))
		default:
			text, _ := templateText(v)
			out = append(out, text...)
		}
	}
	return out, nil
}
