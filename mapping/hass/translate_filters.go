package hass

import (
	"errors"
	"fmt"
	"strings"
)

// filters are the filters of a template.
var filters = map[string]func(v value, args []string) (value, error){
	"float": func(v value, args []string) (value, error) { return called("jinjaFloat", v, args, 1) },
	"int":   func(v value, args []string) (value, error) { return called("jinjaInt", v, args, 1) },
	"abs":   func(v value, args []string) (value, error) { return called("jinjaAbs", v, args, 0) },
	"lower": func(v value, args []string) (value, error) {
		return called("lower", code("jinjaText(%s)", v.code), args, 0)
	},
	"upper": func(v value, args []string) (value, error) {
		return called("upper", code("jinjaText(%s)", v.code), args, 0)
	},
	"trim": func(v value, args []string) (value, error) {
		return called("trim", code("jinjaText(%s)", v.code), args, 0)
	},
	"string":     func(v value, args []string) (value, error) { return called("jinjaText", v, args, 0) },
	"length":     func(v value, args []string) (value, error) { return called("jinjaLength", v, args, 0) },
	"count":      func(v value, args []string) (value, error) { return called("jinjaLength", v, args, 0) },
	"tojson":     func(v value, args []string) (value, error) { return called("toJSON", v, args, 0) },
	"to_json":    func(v value, args []string) (value, error) { return called("toJSON", v, args, 0) },
	"from_json":  func(v value, args []string) (value, error) { return called("fromJSON", v, args, 0) },
	"is_defined": func(v value, args []string) (value, error) { return v, noArguments(args) },
	"default":    defaultFilter,
	"d":          defaultFilter,
	"round":      roundFilter,
	"replace": func(v value, args []string) (value, error) {
		if len(args) != 2 {
			return v, errors.New("replace takes two texts")
		}
		return called("replace", code("jinjaText(%s)", v.code), args, 2)
	},
}

func noArguments(args []string) error {
	if len(args) > 0 {
		return errors.New("the filter takes no arguments")
	}
	return nil
}

func called(name string, v value, args []string, most int) (value, error) {
	if len(args) > most {
		return v, fmt.Errorf("more than %d arguments are not supported", most)
	}
	return code("%s(%s)", name, strings.Join(append([]string{v.code}, args...), ", ")), nil
}

func defaultFilter(v value, args []string) (value, error) {
	has := v.has
	switch {
	case len(args) == 2 && args[1] == "true":
		return code("(jinjaTrue(%s) ? %[1]s : %s)", v.code, args[0]), nil
	case len(args) > 1:
		return v, errors.New("default takes one value, and true")
	case len(args) == 0:
		args = []string{`""`}
	}
	if has == "" {
		return v, nil
	}
	return code("(%s ? %s : %s)", has, v.code, args[0]), nil
}

func roundFilter(v value, args []string) (value, error) {
	digits, how := "0", `"common"`
	if len(args) > 0 {
		digits = args[0]
	}
	if len(args) > 1 {
		how = args[1]
	}
	if len(args) > 2 || how != `"common"` && how != `"floor"` && how != `"ceil"` {
		return v, errors.New("round takes digits, and common, floor or ceil")
	}
	return code("jinjaRound(%s, %s, %s)", v.code, digits, how), nil
}

func (t *translator) filter(v value) (value, error) {
	w := t.peek()
	t.next++
	f := filters[w.text]
	if w.kind != 'n' || f == nil {
		return v, fmt.Errorf("the filter %q is not supported", w.text)
	}
	var args []string
	if _, ok := t.take('o', "("); ok {
		var err error
		if args, err = t.list(")"); err != nil {
			return v, err
		}
	}
	return f(v, args)
}
