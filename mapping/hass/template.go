package hass

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxTemplate bounds a template, and what it is translated to.
const maxTemplate = 8 << 10

// chunk is one part of a template: literal text, {{ expression }} or {% statement %}.
type chunk struct {
	kind byte // 't', '{' or '%'
	text string
}

// chunks parts a template, minds white space control and drops comments.
func chunks(text string) ([]chunk, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("the template has %d bytes; at most %d are taken", len(text), maxTemplate)
	}
	var out []chunk
	trim := false
	literal := func(s string, trimRight bool) {
		if trim {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		if trimRight {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		}
		if s != "" {
			out = append(out, chunk{'t', s})
		}
	}
	for {
		i := opening(text)
		if i < 0 {
			literal(text, false)
			return out, nil
		}
		kind := text[i+1]
		end, err := closing(text[i+2:], kind)
		if err != nil {
			return nil, err
		}
		body := text[i+2 : i+2+end]
		before, cut := text[:i], false
		if strings.HasPrefix(body, "-") || strings.HasPrefix(body, "+") {
			cut, body = body[0] == '-', body[1:]
		}
		literal(before, cut)
		trim = strings.HasSuffix(body, "-")
		body = strings.TrimSuffix(strings.TrimSuffix(body, "-"), "+")
		if kind != '#' {
			out = append(out, chunk{kind, strings.TrimSpace(body)})
		}
		text = text[i+2+end+2:]
	}
}

// opening finds the first of {{, {% and {#.
func opening(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// closing finds the end of what kind opened, outside of quotes.
func closing(s string, kind byte) (int, error) {
	end := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[kind]
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], end):
			return i, nil
		case kind != '#' && (s[i] == '\'' || s[i] == '"'):
			n := quoteEnd(s[i+1:], s[i])
			if n < 0 {
				return 0, errors.New("a quote is not closed")
			}
			i += n + 1
		}
	}
	return 0, fmt.Errorf("{%c is not closed by %s", kind, end)
}

func quoteEnd(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == quote {
			return i
		}
	}
	return -1
}

// token is one word of an expression.
type token struct {
	kind byte // 'n' name, '0' number, 's' text, 'o' operator, 0 the end
	text string
}

var operators = []string{"//", "==", "!=", "<=", ">=", "**", "+", "-", "*", "/", "%", "~", "<", ">", "(", ")", "[", "]", ".", ",", "|", "=", ":", "{", "}"}

func tokens(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '\'' || c == '"':
			n := quoteEnd(s[i+1:], c)
			if n < 0 {
				return nil, errors.New("a quote is not closed")
			}
			text, err := unquote(s[i+1 : i+1+n])
			if err != nil {
				return nil, err
			}
			out = append(out, token{'s', text})
			i += n + 2
		case c >= '0' && c <= '9':
			n := numberEnd(s[i:])
			out = append(out, token{'0', s[i : i+n]})
			i += n
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(s) && (s[i+n] == '_' || isAlphaNumeric(s[i+n])) {
				n++
			}
			out = append(out, token{'n', s[i : i+n]})
			i += n
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(s[i:], o) {
					op = o
					break
				}
			}
			if op == "" {
				return nil, fmt.Errorf("%q is not known in a template", firstRune(s[i:]))
			}
			out = append(out, token{'o', op})
			i += len(op)
		}
	}
	return out, nil
}

func isAlphaNumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func firstRune(s string) string { return string([]rune(s)[:1]) }

// numberEnd measures a number in Python's form.
func numberEnd(s string) int {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' && n+1 < len(s) && s[n+1] >= '0' && s[n+1] <= '9') {
		n++
	}
	if n+1 < len(s) && (s[n] == 'e' || s[n] == 'E') {
		m := n + 1
		if s[m] == '-' || s[m] == '+' {
			m++
		}
		if m < len(s) && s[m] >= '0' && s[m] <= '9' {
			for m < len(s) && s[m] >= '0' && s[m] <= '9' {
				m++
			}
			return m
		}
	}
	return n
}

// unquote reads the escapes of Python's text that are the same everywhere.
func unquote(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errors.New("a quote is not closed")
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case '\\', '\'', '"':
			b.WriteByte(s[i])
		default:
			return "", fmt.Errorf(`the escape \%s is not known`, firstRune(s[i:]))
		}
	}
	return b.String(), nil
}

// quote writes text as our expressions have it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// literalNumber writes a number as our expressions have it.
func literalNumber(s string) (string, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.FormatInt(i, 10), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "", fmt.Errorf("%q is not a number", s)
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text, nil
}
