package hass

import (
	"errors"
	"fmt"
	"strings"
)

// translator says a template in our expressions.
type translator struct {
	names map[string]string // of variables: our expressions for them
	used  map[string]bool
	parts []chunk
	at    int

	tokens []token
	next   int
	depth  int
}

// translate gives an expression for what a template yields, and the variables it
// uses. An error names what cannot be said.
func translate(template string, names map[string]string) (code string, used map[string]bool, err error) {
	parts, err := chunks(template)
	if err != nil {
		return "", nil, err
	}
	t := &translator{names: names, used: map[string]bool{}, parts: parts}
	pieces, err := t.block()
	if err != nil {
		return "", nil, err
	}
	if t.at < len(t.parts) {
		return "", nil, fmt.Errorf("{%% %s %%} stands alone", t.parts[t.at].text)
	}
	code = whole(pieces)
	if len(code) > maxTemplate {
		return "", nil, errors.New("the template is too long")
	}
	return code, t.used, nil
}

// piece is a part of the result: literal text, an expression, or a choice.
type piece struct {
	literal string
	code    string // "" for a literal or a choice
	choices []choice
}

type choice struct {
	when   string // "" is else
	pieces []piece
}

// whole joins the pieces of a template, without white space at its ends.
func whole(pieces []piece) string {
	pieces = trimmed(pieces)
	if len(pieces) == 1 && pieces[0].code != "" {
		return pieces[0].code
	}
	if len(pieces) == 1 && pieces[0].choices != nil {
		return chosen(pieces[0].choices, whole)
	}
	if len(pieces) == 1 {
		if s := strings.TrimSpace(pieces[0].literal); s != "" {
			return quote(s)
		}
		return "nil"
	}
	return "jinjaStrip(" + joined(pieces) + ")"
}

// trimmed drops white space that stands first or last.
func trimmed(pieces []piece) []piece {
	blank := func(p piece) bool { return p.code == "" && p.choices == nil && strings.TrimSpace(p.literal) == "" }
	for len(pieces) > 0 && blank(pieces[0]) {
		pieces = pieces[1:]
	}
	for len(pieces) > 0 && blank(pieces[len(pieces)-1]) {
		pieces = pieces[:len(pieces)-1]
	}
	return pieces
}

// joined is the text of all pieces.
func joined(pieces []piece) string {
	if len(pieces) == 0 {
		return `""`
	}
	list := make([]string, len(pieces))
	for i, p := range pieces {
		switch {
		case p.code != "":
			list[i] = p.code
		case p.choices != nil:
			list[i] = chosen(p.choices, joined)
		default:
			list[i] = quote(p.literal)
		}
	}
	return "jinjaJoin(" + strings.Join(list, ", ") + ")"
}

func chosen(choices []choice, body func([]piece) string) string {
	var b strings.Builder
	rest := body(nil)
	for _, c := range choices {
		if c.when == "" {
			rest = body(c.pieces)
			break
		}
		fmt.Fprintf(&b, "(jinjaTrue(%s) ? %s : ", c.when, body(c.pieces))
	}
	b.WriteString(rest)
	for _, c := range choices {
		if c.when != "" {
			b.WriteByte(')')
		}
	}
	return b.String()
}

const maxNesting = 20

// block reads up to a statement that it does not know: the end of a choice.
func (t *translator) block() ([]piece, error) {
	if t.depth++; t.depth > maxNesting {
		return nil, errors.New("the template nests too deep")
	}
	defer func() { t.depth-- }()
	pieces := []piece{}
	for ; t.at < len(t.parts); t.at++ {
		p := t.parts[t.at]
		switch p.kind {
		case 't':
			pieces = append(pieces, piece{literal: p.text})
			continue
		case '{':
			code, err := t.whole(p.text)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece{code: code})
			continue
		}
		word, rest, _ := strings.Cut(p.text, " ")
		switch word {
		case "if":
			choices, err := t.choices(rest)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece{choices: choices})
		case "set":
			if err := t.set(rest); err != nil {
				return nil, err
			}
		case "elif", "else", "endif":
			return pieces, nil
		default:
			return nil, fmt.Errorf("the statement %q is not supported", word)
		}
	}
	return pieces, nil
}

// choices reads an if up to its endif.
func (t *translator) choices(condition string) ([]choice, error) {
	var out []choice
	for {
		c := choice{}
		var err error
		if condition != "" {
			if c.when, err = t.whole(condition); err != nil {
				return nil, err
			}
		}
		t.at++
		if c.pieces, err = t.block(); err != nil {
			return nil, err
		}
		out = append(out, c)
		if t.at >= len(t.parts) {
			return nil, errors.New("an if has no endif")
		}
		word, rest, _ := strings.Cut(t.parts[t.at].text, " ")
		switch {
		case word == "endif":
			return out, nil
		case c.when == "":
			return nil, fmt.Errorf("%q stands behind else", word)
		case word == "elif" && strings.TrimSpace(rest) == "":
			return nil, errors.New("an elif has no condition")
		}
		condition = rest
		if word == "else" {
			condition = ""
		}
	}
}

// set remembers a variable, outside of choices, where it has one meaning alone.
func (t *translator) set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	words, err := tokens(name)
	if !ok || err != nil || len(words) != 1 || words[0].kind != 'n' || strings.HasPrefix(value, "=") {
		return errors.New("a set other than {% set name = value %} is not supported")
	}
	if t.depth > 1 {
		return errors.New("set within an if is not supported")
	}
	code, err := t.whole(value)
	if err != nil {
		return err
	}
	names := map[string]string{name: code}
	for k, v := range t.names {
		if k != name {
			names[k] = v
		}
	}
	t.names = names
	return nil
}

// whole translates one expression, to its end.
func (t *translator) whole(text string) (string, error) {
	list, err := tokens(text)
	if err != nil {
		return "", err
	}
	outer, next := t.tokens, t.next
	defer func() { t.tokens, t.next = outer, next }()
	t.tokens, t.next = list, 0
	v, err := t.ternary()
	if err != nil {
		return "", err
	}
	if w := t.peek(); w.kind != 0 {
		return "", fmt.Errorf("%q is not understood in %q", w.text, text)
	}
	return v.code, nil
}

func (t *translator) peek() token {
	if t.next < len(t.tokens) {
		return t.tokens[t.next]
	}
	return token{}
}

// take consumes a word if it is one of these.
func (t *translator) take(kind byte, texts ...string) (string, bool) {
	w := t.peek()
	for _, text := range texts {
		if w.kind == kind && w.text == text {
			t.next++
			return text, true
		}
	}
	return "", false
}

func (t *translator) expect(text string) error {
	if _, ok := t.take('o', text); !ok {
		return fmt.Errorf("%q is wanted, not %q", text, t.peek().text)
	}
	return nil
}
