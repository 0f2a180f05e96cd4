package hass

import (
	"errors"
	"fmt"
	"strings"
)

// value is a translated expression. has tells whether it is defined; "" is always.
type value struct{ code, has string }

func code(format string, args ...any) value { return value{code: fmt.Sprintf(format, args...)} }

// ternary: a if b else c.
func (t *translator) ternary() (value, error) {
	if t.depth++; t.depth > maxNesting {
		return value{}, errors.New("the template nests too deep")
	}
	defer func() { t.depth-- }()
	v, err := t.or()
	if err != nil {
		return v, err
	}
	if _, ok := t.take('n', "if"); !ok {
		return v, nil
	}
	when, err := t.or()
	if err != nil {
		return v, err
	}
	other := value{code: "nil"}
	if _, ok := t.take('n', "else"); ok {
		if other, err = t.ternary(); err != nil {
			return v, err
		}
	}
	return t.short(code("(jinjaTrue(%s) ? %s : %s)", when.code, v.code, other.code))
}

// short refuses code that doubles too often.
func (t *translator) short(v value) (value, error) {
	if len(v.code) > maxTemplate {
		return v, errors.New("the template is too long")
	}
	return v, nil
}

func (t *translator) or() (value, error) {
	v, err := t.and()
	for err == nil {
		if _, ok := t.take('n', "or"); !ok {
			break
		}
		var w value
		if w, err = t.and(); err == nil {
			v, err = t.short(code("(jinjaTrue(%s) ? %[1]s : %s)", v.code, w.code))
		}
	}
	return v, err
}

func (t *translator) and() (value, error) {
	v, err := t.not()
	for err == nil {
		if _, ok := t.take('n', "and"); !ok {
			break
		}
		var w value
		if w, err = t.not(); err == nil {
			v, err = t.short(code("(jinjaTrue(%s) ? %s : %[1]s)", v.code, w.code))
		}
	}
	return v, err
}

func (t *translator) not() (value, error) {
	if _, ok := t.take('n', "not"); ok {
		v, err := t.not()
		return code("(not jinjaTrue(%s))", v.code), err
	}
	return t.compare()
}

func (t *translator) compare() (value, error) {
	v, err := t.sum()
	if err != nil {
		return v, err
	}
	op, ok := t.take('o', "==", "!=", "<=", ">=", "<", ">")
	if !ok {
		op, ok = t.take('n', "in")
	}
	if w := t.peek(); !ok && w.kind == 'n' && w.text == "not" && t.next+1 < len(t.tokens) && t.tokens[t.next+1].text == "in" {
		t.next += 2
		op, ok = "not in", true
	}
	if !ok {
		return v, nil
	}
	w, err := t.sum()
	if err != nil {
		return v, err
	}
	if next := t.peek(); next.kind == 'o' && strings.ContainsAny(next.text, "<>!") || next.text == "==" {
		return v, errors.New("comparisons in a row are not supported")
	}
	switch op {
	case "==", "!=":
		return code("(%s %s %s)", v.code, op, w.code), nil
	case "in":
		return code("jinjaIn(%s, %s)", v.code, w.code), nil
	case "not in":
		return code("(not jinjaIn(%s, %s))", v.code, w.code), nil
	}
	return code("jinjaCompare(%s, %q, %s)", v.code, op, w.code), nil
}

func (t *translator) sum() (value, error) {
	v, err := t.concat()
	for err == nil {
		op, ok := t.take('o', "+", "-")
		if !ok {
			break
		}
		var w value
		w, err = t.concat()
		v = code("(%s %s %s)", v.code, op, w.code)
	}
	return v, err
}

func (t *translator) concat() (value, error) {
	v, err := t.product()
	for err == nil {
		if _, ok := t.take('o', "~"); !ok {
			break
		}
		var w value
		w, err = t.product()
		v = code("jinjaJoin(%s, %s)", v.code, w.code)
	}
	return v, err
}

func (t *translator) product() (value, error) {
	v, err := t.unary(true)
	for err == nil {
		op, ok := t.take('o', "*", "/", "//", "%")
		if !ok {
			break
		}
		var w value
		w, err = t.unary(true)
		switch op {
		case "*":
			v = code("(%s * %s)", v.code, w.code)
		case "/":
			v = code("jinjaDivide(%s, %s)", v.code, w.code)
		case "//":
			v = code("jinjaFloor(%s, %s)", v.code, w.code)
		default:
			v = code("jinjaModulo(%s, %s)", v.code, w.code)
		}
	}
	return v, err
}

// unary reads a sign, and what is behind the value: members, calls, filters, tests.
func (t *translator) unary(filters bool) (value, error) {
	if t.depth++; t.depth > maxNesting {
		return value{}, errors.New("the template nests too deep")
	}
	defer func() { t.depth-- }()
	var v value
	var err error
	if op, ok := t.take('o', "-", "+"); ok {
		v, err = t.unary(false)
		v = code("(%s%s)", op, v.code)
	} else {
		v, err = t.primary()
	}
	for err == nil {
		w := t.peek()
		switch {
		case w.kind == 'o' && w.text == ".":
			t.next++
			v, err = t.member(v)
		case w.kind == 'o' && w.text == "[":
			t.next++
			v, err = t.index(v)
		case filters && w.kind == 'o' && w.text == "|":
			t.next++
			v, err = t.filter(v)
		case filters && w.kind == 'n' && w.text == "is":
			t.next++
			v, err = t.test(v)
		case w.kind == 'o' && (w.text == "(" || w.text == "**"):
			return v, fmt.Errorf("%q is not supported here", w.text)
		default:
			return v, nil
		}
	}
	return v, err
}

func (t *translator) primary() (value, error) {
	w := t.peek()
	t.next++
	switch w.kind {
	case 's':
		return value{code: quote(w.text)}, nil
	case '0':
		n, err := literalNumber(w.text)
		return value{code: n}, err
	case 'n':
		return t.name(w.text)
	case 'o':
		switch w.text {
		case "(":
			v, err := t.ternary()
			if err == nil {
				err = t.expect(")")
			}
			return value{code: "(" + v.code + ")", has: v.has}, err
		case "[":
			list, err := t.list("]")
			return value{code: "[" + strings.Join(list, ", ") + "]"}, err
		}
	case 0:
		return value{}, errors.New("an expression ends too early")
	}
	return value{}, fmt.Errorf("%q is not supported here", w.text)
}

// name is a variable, a constant, or one of the functions float, int and iif.
func (t *translator) name(name string) (value, error) {
	switch name {
	case "true", "True":
		return value{code: "true"}, nil
	case "false", "False":
		return value{code: "false"}, nil
	case "none", "None":
		return value{code: "nil"}, nil
	}
	if c, ok := t.names[name]; ok {
		t.used[name] = true
		if c == "nil" {
			return value{code: c, has: "false"}, nil
		}
		return value{code: c}, nil
	}
	if _, ok := t.take('o', "("); ok {
		args, err := t.list(")")
		switch {
		case err != nil:
			return value{}, err
		case (name == "float" || name == "int") && len(args) > 0:
			return filters[name](value{code: args[0]}, args[1:])
		case name == "iif" && len(args) == 3:
			return code("(jinjaTrue(%s) ? %s : %s)", args[0], args[1], args[2]), nil
		}
		return value{}, fmt.Errorf("the function %s is not supported", name)
	}
	return value{}, fmt.Errorf("the name %s is not known here", name)
}

// list reads expressions up to end.
func (t *translator) list(end string) ([]string, error) {
	list := []string{}
	for {
		if _, ok := t.take('o', end); ok {
			return list, nil
		}
		v, err := t.ternary()
		if err != nil {
			return nil, err
		}
		list = append(list, v.code)
		if _, ok := t.take('o', ","); ok {
			continue
		}
		return list, t.expect(end)
	}
}

func memberOf(v value, key string) value {
	return value{code: v.code + "[" + key + "]", has: "jinjaHas(" + v.code + ", " + key + ")"}
}

func (t *translator) index(v value) (value, error) {
	sign := ""
	if _, ok := t.take('o', "-"); ok {
		sign = "-"
	}
	w := t.peek()
	t.next++
	key := ""
	switch {
	case w.kind == 's' && sign == "":
		key = quote(w.text)
	case w.kind == '0' && !strings.ContainsAny(w.text, ".eE") && len(w.text) < 9:
		key = sign + w.text
	default:
		return v, errors.New("only a name in quotes or a whole number can stand in [ ]")
	}
	return memberOf(v, key), t.expect("]")
}

// member reads what stands behind a dot: a member, or a method.
func (t *translator) member(v value) (value, error) {
	w := t.peek()
	t.next++
	if w.kind == '0' && !strings.ContainsAny(w.text, ".eE") && len(w.text) < 9 {
		return memberOf(v, w.text), nil
	}
	if w.kind != 'n' {
		return v, fmt.Errorf("a name is wanted behind the dot, not %q", w.text)
	}
	if _, ok := t.take('o', "("); !ok {
		return memberOf(v, quote(w.text)), nil
	}
	args, err := t.list(")")
	if err != nil {
		return v, err
	}
	switch {
	case w.text == "get" && len(args) == 1:
		return code("%s[%s]", v.code, args[0]), nil
	case w.text == "get" && len(args) == 2:
		return code("(jinjaHas(%s, %s) ? %[1]s[%[2]s] : %s)", v.code, args[0], args[1]), nil
	case (w.text == "lower" || w.text == "upper") && len(args) == 0:
		return code("%s(%s)", w.text, v.code), nil
	case w.text == "strip" && len(args) == 0:
		return code("trim(%s)", v.code), nil
	case w.text == "split" && len(args) == 1:
		return code("split(%s, %s)", v.code, args[0]), nil
	case w.text == "startswith" && len(args) == 1:
		return code("(%s startsWith %s)", v.code, args[0]), nil
	case w.text == "endswith" && len(args) == 1:
		return code("(%s endsWith %s)", v.code, args[0]), nil
	}
	return v, fmt.Errorf("the method %s is not supported", w.text)
}

func (t *translator) test(v value) (value, error) {
	_, negated := t.take('n', "not")
	w := t.peek()
	t.next++
	has := v.has
	if has == "" {
		has = "true"
	}
	if w.text == "undefined" {
		negated = !negated
	} else if w.text != "defined" {
		return v, fmt.Errorf("the test %q is not supported", "is "+w.text)
	}
	if negated {
		has = "(not " + has + ")"
	}
	return value{code: has}, nil
}
