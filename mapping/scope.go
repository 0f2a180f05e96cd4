package mapping

import (
	"fmt"
	"strconv"
)

// binding is one named value of a scope.
type binding struct {
	name  string
	value any
}

// scope is what one evaluation sees. Names are looked up in this order: extra,
// the levels of the topic, the device's values, the parameters.
type scope struct {
	prof   *profile
	msg    *message // nil when something is sent
	dev    *Device  // nil where the Thing is not known
	names  []string // of the levels
	levels []string
	extra  []binding
	reply  string // bridge.reply
	now    int64  // milliseconds, where there is no message
}

func (s *scope) eval(x *expression) (any, error) {
	if x.fixed {
		return x.value, nil
	}
	if x.path != nil && s.msg != nil {
		return s.msg.at(x.path, x.gpath), nil
	}
	return x.run(s.lookup)
}

func (s *scope) lookup(name string) any {
	for i := len(s.extra) - 1; i >= 0; i-- {
		if s.extra[i].name == name {
			return s.extra[i].value
		}
	}
	switch name {
	case "device":
		if s.dev != nil {
			return deviceVars(s.dev.Vars)
		}
		return nil
	case "bridge":
		return map[string]any{"reply": s.reply}
	case "now":
		if s.msg != nil {
			return int(s.msg.now.UnixMilli())
		}
		return int(s.now)
	}
	if s.msg != nil {
		switch name {
		case "payload":
			return s.msg.whole()
		case "topic":
			return s.msg.topic
		case "retained":
			return s.msg.retained
		}
	}
	for i, n := range s.names {
		if n == name && i < len(s.levels) {
			return s.levels[i]
		}
	}
	if s.dev != nil {
		if v := s.dev.Var(name); v != nil {
			return v
		}
	}
	if s.prof != nil {
		return s.prof.params[name]
	}
	return nil
}

// level gives the value of a named level of the topic.
func (s *scope) level(name string) (string, bool) {
	for i, n := range s.names {
		if n == name && i < len(s.levels) {
			return s.levels[i], true
		}
	}
	return "", false
}

// test evaluates a condition; a nil expression is true, nil is false.
func (s *scope) test(x *expression) (bool, error) {
	if x == nil {
		return true, nil
	}
	v, err := s.eval(x)
	if err != nil {
		return false, err
	}
	ok, err := truth(v)
	if err != nil {
		return false, fmt.Errorf("%s: %w", shorten(x.text, 80), err)
	}
	return ok, nil
}

// with is a copy of s that sees more names.
func (s *scope) with(extra ...binding) *scope {
	c := *s
	c.extra = append(append(make([]binding, 0, len(s.extra)+len(extra)), s.extra...), extra...)
	return &c
}

// templateText writes a value as it stands in text.
func templateText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case int:
		return strconv.Itoa(v), true
	case []byte:
		return string(v), true
	}
	return string(appendAny(nil, v)), true
}
