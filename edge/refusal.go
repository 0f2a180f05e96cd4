package edge

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reasonsOf gives each Thing of a refused BIND what the platform's text says of it.
// One text answers for all names of a BIND; where it has several parts, lines or
// between semicolons, and names some of the Things, a Thing gets the parts that name
// it, and one that no part names gets the first, with how many it was refused with.
// Otherwise the text is everyone's. It is nil where all get the text as it is.
func reasonsOf(text string, batch []*thing) []string {
	parts := strings.FieldsFunc(strings.ReplaceAll(text, "; ", "\n"), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(batch) == 1 || len(parts) < 2 {
		return nil
	}
	reasons := make([]string, len(batch))
	named := false
	for i, th := range batch {
		var own []string
		for _, part := range parts {
			if names(part, strings.TrimPrefix(th.name, "*")) {
				own = append(own, part)
			}
		}
		reasons[i] = strings.Join(own, "; ")
		named = named || own != nil
	}
	if !named {
		return nil
	}
	for i := range reasons {
		if reasons[i] == "" {
			reasons[i] = fmt.Sprintf("one BIND with %d others: %s", len(batch)-1, parts[0])
		}
	}
	return reasons
}

// names reports whether a text holds a name, not as a part of a longer one.
func names(text, name string) bool {
	for rest := text; name != ""; {
		at := strings.Index(rest, name)
		if at < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(text[:len(text)-len(rest)+at])
		rest = rest[at+len(name):]
		after, size := utf8.DecodeRuneInString(rest)
		if after == '.' { // ends a sentence, or goes on in a name
			after, _ = utf8.DecodeRuneInString(rest[size:])
		}
		if before != '.' && !inName(before) && !inName(after) {
			return true
		}
	}
	return false
}

// inName reports a character that a name goes on with.
func inName(r rune) bool {
	return r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
