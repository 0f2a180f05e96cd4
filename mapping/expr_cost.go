package mapping

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// workBudget is what one evaluation may read and make, in bytes of text; an item
// of a list or a member of an object counts itemWork, a scalar 1. It holds an
// evaluation to about a second and some hundred MiB at the very worst.
const (
	workBudget = 32 << 20
	itemWork   = 16
	maxGlue    = 1 << 10 // bytes of a set of characters
	maxProgram = 2_000   // instructions of a regular expression
)

var errWork = errors.New("the expression reads or makes more than 32 MiB in one evaluation")

// budget is what an evaluation may still do.
type budget struct {
	items int // that closures visit
	work  int
}

func (b *budget) spend(n int) error {
	if b.work -= n; b.work < 0 {
		return errWork
	}
	return nil
}

// read charges a value weight times.
func (b *budget) read(v any, weight int, deep bool) error {
	if weight == 0 {
		return nil
	}
	n := size(v, deep, b.work/weight)
	return b.spend(n * weight)
}

// texts charges two operands that are text.
func (b *budget) texts(x, y any) error {
	s, ok1 := x.(string)
	t, ok2 := y.(string)
	if ok1 && ok2 {
		return b.spend(len(s) + len(t))
	}
	return nil
}

// size measures a value and stops when it is over limit.
func size(v any, deep bool, limit int) int {
	switch v := v.(type) {
	case string:
		return len(v) + 1
	case []byte:
		return len(v) + 1
	case []any:
		n := itemWork * (len(v) + 1)
		for i := 0; deep && i < len(v) && n <= limit; i++ {
			n += size(v[i], deep, limit-n)
		}
		return n
	case []string:
		n := itemWork * (len(v) + 1)
		for i := 0; deep && i < len(v) && n <= limit; i++ {
			n += len(v[i])
		}
		return n
	case map[string]any:
		n := itemWork * (len(v) + 1)
		if deep {
			for k, item := range v {
				if n += len(k) + size(item, deep, limit-n); n > limit {
					break
				}
			}
		}
		return n
	case deviceVars:
		return size(v.object(), deep, limit)
	case [2]any, []int, map[any]any, map[any][]any:
		return size(plainValue(v), deep, limit)
	}
	return 1
}

// cost is what a call of a function counts, per unit of its arguments.
type cost struct {
	weight int
	deep   bool // the arguments' members count too
}

// costs are those of functions that are not defaultCost: the free ones look at a
// scalar or one item, the shallow ones do not go into their items, the heavy
// ones make much out of little.
var (
	defaultCost = cost{2, true}
	costs       = func() map[string]cost {
		m := map[string]cost{"split": {itemWork, true}, "splitAfter": {itemWork, true}, "fromJSON": {itemWork, true}, "toJSON": {6, true}, "string": {8, true}, "uniq": {6, true}, "formatTime": {16, true}}
		for _, name := range []string{"len", "first", "last", "type", "abs", "ceil", "floor", "round", "read", "readText", "roundTo"} {
			m[name] = cost{}
		}
		for _, name := range []string{"reverse", "take", "concat", "merge"} {
			m[name] = cost{2, false}
		}
		for _, name := range []string{"keys", "values", "toPairs"} { // they sort
			m[name] = cost{8, false}
		}
		for _, name := range []string{"sort", "min", "max", "sum", "mean", "median", "fromPairs"} {
			m[name] = cost{4, true}
		}
		return m
	}()
)

// charge puts the arguments of a function under the budget.
func charge(name string, args []ast.Node) {
	c, ok := costs[name]
	if !ok {
		c = defaultCost
	}
	for i, arg := range args {
		switch arg.(type) {
		case *ast.NilNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.PredicateNode:
			continue
		}
		switch {
		case i > 0 && strings.HasPrefix(name, "trim"):
			args[i] = call("_short", arg)
		case c.weight > 0:
			args[i] = call("_read", arg, budgetNode(), &ast.IntegerNode{Value: c.weight}, &ast.BoolNode{Value: c.deep})
		}
	}
}

func budgetNode() ast.Node { return &ast.IdentifierNode{Value: budgetName} }

// chargeFunctions are the inner functions that charge.
var chargeFunctions = map[string]func(...any) (any, error){
	"_read": func(p ...any) (any, error) {
		return p[0], p[1].(*budget).read(p[0], p[2].(int), p[3].(bool))
	},
	"_short": func(p ...any) (any, error) {
		if s, ok := p[0].(string); ok && len(s) > maxGlue {
			return nil, fmt.Errorf("the characters to cut off are %d; at most %d are taken", len(s), maxGlue)
		}
		return p[0], nil
	},
}

// needsNoCharge reports whether comparing with n takes no longer than n is long.
func needsNoCharge(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.NilNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.ConstantNode:
		return true
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(n ast.Node) bool { return !needsNoCharge(n) })
	case *ast.UnaryNode:
		return needsNoCharge(n.Node)
	}
	return false
}

// textWeight is what one byte costs that an operator on text reads.
func textWeight(operator string, right ast.Node) int {
	if operator != "matches" {
		return 1
	}
	program, err := patternProgram(right)
	if err != nil {
		return workBudget // inspect has refused it
	}
	return 16 + program/4
}

// patternProgram gives how many instructions a constant regular expression has.
func patternProgram(n ast.Node) (int, error) {
	text, ok := n.(*ast.StringNode)
	if !ok {
		return 0, errors.New("the pattern of matches must be a constant text, so that its time is bounded")
	}
	re, err := syntax.Parse(text.Value, syntax.Perl)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, err
	}
	if len(prog.Inst) > maxProgram {
		return 0, fmt.Errorf("the pattern of matches comes to %d steps; at most %d are taken", len(prog.Inst), maxProgram)
	}
	return len(prog.Inst), nil
}

// Functions that take the place of the library's, whose result or time is not bounded.

// uniqFunction: uniq(list) leaves out what came before.
func uniqFunction(p ...any) (any, error) {
	v, err := one("uniq", p)
	items, ok := plainValue(v).([]any)
	if err != nil || v == nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("uniq takes a list, not %s", kindOf(v))
	}
	var out []any
	seen := make(map[any]bool, len(items))
	for _, item := range items {
		var key any
		switch item := item.(type) {
		case nil, bool, string, float64:
			key = item
		case int:
			key = float64(item)
			if int(float64(item)) != item {
				key = item
			}
		default:
			key = [1]string{string(appendAny(nil, item))}
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, item)
		}
	}
	if out == nil {
		out = []any{}
	}
	return out, nil
}

// repeatFunction: repeat(text, count).
func repeatFunction(p ...any) (any, error) {
	if len(p) != 2 {
		return nil, errors.New("repeat takes text and a count")
	}
	text, isText := p[0].(string)
	n, isInt := p[1].(int)
	if !isText || !isInt || n < 0 {
		return nil, errors.New("repeat takes text and a count")
	}
	if len(text) > 0 && n > maxJoinedText/len(text) {
		return nil, errLongText
	}
	return strings.Repeat(text, n), nil
}

var errLongText = errors.New("the text grows over 1 MiB")

// replaceFunction: replace(text, old, new[, count]).
func replaceFunction(p ...any) (any, error) {
	if len(p) < 3 || len(p) > 4 {
		return nil, errors.New("replace takes text, what to replace and by what")
	}
	var text [3]string
	for i := range text {
		s, ok := p[i].(string)
		if !ok {
			return nil, fmt.Errorf("replace takes text, not %s", kindOf(p[i]))
		}
		text[i] = s
	}
	n := -1
	if len(p) == 4 {
		count, ok := p[3].(int)
		if !ok {
			return nil, fmt.Errorf("replace takes a count, not %s", kindOf(p[3]))
		}
		n = count
	}
	if grow := len(text[2]) - len(text[1]); grow > 0 {
		hits := strings.Count(text[0], text[1])
		if n >= 0 {
			hits = min(hits, n)
		}
		if hits > 0 && len(text[0])+grow*hits > maxJoinedText+len(text[0]) {
			return nil, errLongText
		}
	}
	return strings.Replace(text[0], text[1], text[2], n), nil
}

// joinFunction: join(list[, between]).
func joinFunction(p ...any) (any, error) {
	if len(p) == 0 || len(p) > 2 {
		return nil, errors.New("join takes a list and what stands between")
	}
	items, ok := plainValue(p[0]).([]any)
	between := ""
	if len(p) == 2 {
		s, isText := p[1].(string)
		ok, between = ok && isText, s
	}
	if !ok {
		return nil, errors.New("join takes a list of text and text")
	}
	list := make([]string, len(items))
	length := len(between) * max(0, len(items)-1)
	for i, item := range items {
		s, isText := item.(string)
		if !isText {
			return nil, fmt.Errorf("join takes a list of text; item %d is %s", i, kindOf(item))
		}
		if list[i], length = s, length+len(s); length > maxJoinedText {
			return nil, errLongText
		}
	}
	return strings.Join(list, between), nil
}
