package mapping

import (
	"strings"
	"unicode/utf8"
)

// ValidTopic reports whether s can be published to: 1 to 65,535 bytes of UTF-8
// without NUL and without the wildcards + and #.
func ValidTopic(s string) bool {
	return validTopicText(s) && !strings.ContainsAny(s, "+#")
}

// ValidFilter reports whether s can be subscribed: + stands alone in a level, #
// stands alone in the last one.
func ValidFilter(s string) bool {
	if !validTopicText(s) {
		return false
	}
	for rest := s; ; {
		level, tail, more := strings.Cut(rest, "/")
		switch {
		case level == "#" && more,
			level != "#" && strings.Contains(level, "#"),
			level != "+" && strings.Contains(level, "+"):
			return false
		}
		if !more {
			return true
		}
		rest = tail
	}
}

func validTopicText(s string) bool {
	return s != "" && len(s) <= 65535 && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// Covers reports whether every topic that filter b matches is matched by a too.
func Covers(a, b string) bool {
	for first := true; ; first = false {
		la, ra, moreA := strings.Cut(a, "/")
		lb, rb, moreB := strings.Cut(b, "/")
		if first && (la == "#" || la == "+") && strings.HasPrefix(lb, "$") {
			return false
		}
		if la == "#" {
			return true
		}
		if lb == "#" || (la != "+" && la != lb) {
			return false
		}
		if !moreB {
			return !moreA || ra == "#"
		}
		if !moreA {
			return false
		}
		a, b = ra, rb
	}
}

// overlap reports whether some topic is matched by both filters.
func overlap(a, b string) bool { return shared(a, b) != "" }

// shared gives a filter for topics that both filters match, "" where there are none.
func shared(a, b string) string {
	out := ""
	for first := true; ; first = false {
		la, ra, moreA := strings.Cut(a, "/")
		lb, rb, moreB := strings.Cut(b, "/")
		if first && (isWild(la) && strings.HasPrefix(lb, "$") || isWild(lb) && strings.HasPrefix(la, "$")) {
			return ""
		}
		switch {
		case la == "#":
			return out + b
		case lb == "#":
			return out + a
		case la == "+":
			out += lb
		case lb == "+" || la == lb:
			out += la
		default:
			return ""
		}
		switch {
		case !moreA && !moreB, !moreA && rb == "#", !moreB && ra == "#":
			return out
		case !moreA || !moreB:
			return ""
		}
		out += "/"
		a, b = ra, rb
	}
}

func isWild(level string) bool { return level == "+" || level == "#" }

// Matcher finds the entries whose topic filter matches a topic, with MQTT's
// rules: + is one level, # is the parent and all below it, and neither at the
// start matches a topic that starts with $. The cost grows with the levels of
// the topic and not with the number of filters. A Matcher is not safe for
// concurrent use while it is changed.
type Matcher[T comparable] struct {
	root node[T]
	size int
}

type node[T comparable] struct {
	children map[string]*node[T]
	plus     *node[T]
	here     []T
	rest     []T // entries that end with # below this node
}

// Len is the number of entries.
func (m *Matcher[T]) Len() int { return m.size }

// Add adds an entry under a filter, which must be valid.
func (m *Matcher[T]) Add(filter string, entry T) {
	n := &m.root
	for {
		level, tail, more := strings.Cut(filter, "/")
		if level == "#" {
			n.rest = append(n.rest, entry)
			break
		}
		n = n.child(level)
		if !more {
			n.here = append(n.here, entry)
			break
		}
		filter = tail
	}
	m.size++
}

func (n *node[T]) child(level string) *node[T] {
	if level == "+" {
		if n.plus == nil {
			n.plus = &node[T]{}
		}
		return n.plus
	}
	if c := n.children[level]; c != nil {
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*node[T], 1)
	}
	c := &node[T]{}
	n.children[level] = c
	return c
}

// Remove takes one entry away; it reports whether the entry was there.
func (m *Matcher[T]) Remove(filter string, entry T) bool {
	if !m.root.remove(filter, entry) {
		return false
	}
	m.size--
	return true
}

func (n *node[T]) remove(filter string, entry T) bool {
	level, tail, more := strings.Cut(filter, "/")
	if level == "#" {
		return cutEntry(&n.rest, entry)
	}
	c := n.plus
	if level != "+" {
		c = n.children[level]
	}
	if c == nil {
		return false
	}
	ok := false
	if more {
		ok = c.remove(tail, entry)
	} else {
		ok = cutEntry(&c.here, entry)
	}
	if ok && c.empty() {
		if level == "+" {
			n.plus = nil
		} else {
			delete(n.children, level)
		}
	}
	return ok
}

func (n *node[T]) empty() bool {
	return len(n.children) == 0 && n.plus == nil && len(n.here) == 0 && len(n.rest) == 0
}

func cutEntry[T comparable](list *[]T, entry T) bool {
	for i, e := range *list {
		if e == entry {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			if len(*list) == 0 {
				*list = nil
			}
			return true
		}
	}
	return false
}

// Match appends the entries whose filters match topic to dst.
func (m *Matcher[T]) Match(topic string, dst []T) []T {
	if strings.HasPrefix(topic, "$") {
		level, tail, more := strings.Cut(topic, "/")
		if c := m.root.children[level]; c != nil {
			return c.match(tail, more, dst)
		}
		return dst
	}
	return m.root.match(topic, true, dst)
}

// match adds what matches below n; more tells whether topic has levels left.
func (n *node[T]) match(topic string, more bool, dst []T) []T {
	dst = append(dst, n.rest...)
	if !more {
		return append(dst, n.here...)
	}
	level, tail, more := strings.Cut(topic, "/")
	if c := n.children[level]; c != nil {
		dst = c.match(tail, more, dst)
	}
	if n.plus != nil {
		dst = n.plus.match(tail, more, dst)
	}
	return dst
}
