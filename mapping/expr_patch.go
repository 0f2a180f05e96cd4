package mapping

import (
	"fmt"
	"math"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm/runtime"
)

const maxJoinedText = 1 << 20

// tolerance rewrites an expression so that absence is nil instead of an error:
// a member of anything that has none, arithmetic with nil. Comparing nil by
// size is false, and nil is false where a truth value is wanted. It also puts
// each closure's list under the budget.
type tolerance struct{}

// Visit rewrites one node; its children were rewritten before.
func (tolerance) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.MemberNode:
		if !v.Method {
			ast.Patch(n, call("_member", v.Node, v.Property))
		}
	case *ast.SliceNode:
		from, to := v.From, v.To
		if from == nil {
			from = &ast.NilNode{}
		}
		if to == nil {
			to = &ast.NilNode{}
		}
		ast.Patch(n, call("_slice", v.Node, from, to, budgetNode()))
	case *ast.BinaryNode:
		patchBinary(n, v)
	case *ast.UnaryNode:
		switch v.Operator {
		case "!", "not":
			v.Node = call("_bool", v.Node)
		case "-":
			if constantNumber(v.Node) == nil {
				ast.Patch(n, call("_negate", v.Node))
			}
		}
	case *ast.ConditionalNode:
		v.Cond = call("_bool", v.Cond)
	case *ast.CallNode:
		if callee, ok := v.Callee.(*ast.IdentifierNode); ok {
			charge(callee.Value, v.Arguments)
		}
	case *ast.BuiltinNode:
		p, closure := predicate(v)
		if !closure {
			charge(v.Name, v.Arguments)
			return
		}
		v.Arguments[0] = call("_list", v.Arguments[0], budgetNode())
		if truthful[v.Name] {
			p.Node = call("_bool", p.Node)
		}
	}
}

func predicate(v *ast.BuiltinNode) (*ast.PredicateNode, bool) {
	if len(v.Arguments) < 2 {
		return nil, false
	}
	p, ok := v.Arguments[1].(*ast.PredicateNode)
	return p, ok
}

// truthful are the builtins whose closure yields a truth value.
var truthful = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "find": true,
	"findIndex": true, "findLast": true, "findLastIndex": true, "count": true,
}

func patchBinary(n *ast.Node, v *ast.BinaryNode) {
	switch v.Operator {
	case "and", "or", "&&", "||":
		v.Left, v.Right = call("_bool", v.Left), call("_bool", v.Right)
	case "contains", "startsWith", "endsWith", "matches":
		v.Left = call("_text", v.Left, budgetNode(), &ast.IntegerNode{Value: textWeight(v.Operator, v.Right)})
	case "==", "!=":
		if !needsNoCharge(v.Left) && !needsNoCharge(v.Right) {
			v.Left = call("_read", v.Left, budgetNode(), &ast.IntegerNode{Value: 1}, &ast.BoolNode{Value: true})
		}
	case "in":
		if !needsNoCharge(v.Right) {
			v.Right = call("_in", v.Right, budgetNode())
		}
	case "+", "-", "*", "/", "%", "**", "^", "<", "<=", ">", ">=":
		ast.Patch(n, call("_"+v.Operator, v.Left, v.Right, budgetNode()))
	}
}

func call(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

func constantNumber(n ast.Node) any {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value
	case *ast.FloatNode:
		return n.Value
	}
	return nil
}

// innerFunctions are what the rewritten nodes call; no expression can name them.
var innerFunctions = map[string]func(...any) (any, error){
	"_member": func(p ...any) (any, error) { return member(p[0], p[1]), nil },
	"_slice": func(p ...any) (any, error) {
		if err := p[3].(*budget).read(p[0], 1, false); err != nil {
			return nil, err
		}
		return slice(p[0], p[1], p[2]), nil
	},
	"_list": func(p ...any) (any, error) { return boundedList(p[0], p[1].(*budget)) },
	"_bool": func(p ...any) (any, error) { return truth(p[0]) },
	"_text": func(p ...any) (any, error) {
		if err := p[1].(*budget).read(p[0], p[2].(int), false); err != nil {
			return nil, err
		}
		return textOrNone(p[0])
	},
	"_in": func(p ...any) (any, error) {
		if _, object := p[0].(map[string]any); !object {
			if err := p[1].(*budget).read(p[0], 1, true); err != nil {
				return nil, err
			}
		}
		return container(p[0]), nil
	},
	"_negate": func(p ...any) (any, error) {
		if p[0] == nil {
			return nil, nil
		}
		return runtime.Negate(p[0]), nil
	},
	"_+":  arithmetic(add),
	"_-":  arithmetic(runtime.Subtract),
	"_*":  arithmetic(runtime.Multiply),
	"_/":  arithmetic(func(a, b any) any { return runtime.Divide(a, b) }),
	"_%":  arithmetic(func(a, b any) any { return runtime.Modulo(a, b) }),
	"_**": arithmetic(func(a, b any) any { return runtime.Exponent(a, b) }),
	"_^":  arithmetic(func(a, b any) any { return runtime.Exponent(a, b) }),
	"_<":  comparison(runtime.Less),
	"_<=": comparison(runtime.LessOrEqual),
	"_>":  comparison(runtime.More),
	"_>=": comparison(runtime.MoreOrEqual),
}

func arithmetic(op func(a, b any) any) func(...any) (any, error) {
	return func(p ...any) (any, error) {
		if p[0] == nil || p[1] == nil {
			return nil, nil
		}
		if err := p[2].(*budget).texts(p[0], p[1]); err != nil {
			return nil, err
		}
		return op(p[0], p[1]), nil
	}
}

func comparison(op func(a, b any) bool) func(...any) (any, error) {
	return func(p ...any) (any, error) {
		if p[0] == nil || p[1] == nil {
			return false, nil
		}
		if err := p[2].(*budget).texts(p[0], p[1]); err != nil {
			return nil, err
		}
		return op(p[0], p[1]), nil
	}
}

func add(a, b any) any {
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok && len(x)+len(y) > maxJoinedText {
			panic(errLongText)
		}
	}
	return runtime.Add(a, b)
}

// deviceVars is the variable device.
type deviceVars []Var

func (d deviceVars) object() map[string]any {
	m := make(map[string]any, len(d))
	for _, v := range d {
		m[v.Name] = v.Value
	}
	return m
}

// member reads a member of an object or an item of a list; nil where there is none.
func member(from, key any) any {
	switch from := from.(type) {
	case map[string]any:
		if k, ok := key.(string); ok {
			return from[k]
		}
	case []any:
		if i, ok := index(key, len(from)); ok {
			return from[i]
		}
	case deviceVars:
		for i := range from {
			if from[i].Name == key {
				return from[i].Value
			}
		}
	case []string:
		if i, ok := index(key, len(from)); ok {
			return from[i]
		}
	case []int:
		if i, ok := index(key, len(from)); ok {
			return from[i]
		}
	case map[string][]any:
		if k, ok := key.(string); ok {
			return from[k]
		}
	case [2]any: // toPairs
		if i, ok := index(key, len(from)); ok {
			return from[i]
		}
	case map[any]any: // fromPairs
		return from[key]
	case map[any][]any: // groupBy
		if list, ok := from[key]; ok {
			return list
		}
	case []byte:
		if i, ok := index(key, len(from)); ok {
			return int(from[i])
		}
	}
	return nil
}

func index(key any, n int) (int, bool) {
	i, ok := key.(int)
	if f, isFloat := key.(float64); isFloat && f == math.Trunc(f) && math.Abs(f) < 1e9 {
		i, ok = int(f), true
	}
	if i < 0 {
		i += n
	}
	return i, ok && i >= 0 && i < n
}

func slice(v, from, to any) any {
	if b, ok := v.([]byte); ok {
		v = b
	}
	if v == nil {
		return nil
	}
	if from == nil {
		from = 0
	}
	if to == nil {
		to = math.MaxInt32
	}
	if s, ok := v.(string); ok {
		return validText(runtime.Slice(s, from, to).(string))
	}
	return runtime.Slice(v, from, to)
}

// boundedList makes what a closure goes through: nil is empty, and the length
// counts against the limit and the budget.
func boundedList(v any, b *budget) (any, error) {
	n := 0
	switch v := v.(type) {
	case nil:
		return []any{}, nil
	case []any:
		n = len(v)
	case []int:
		n = len(v)
	case []string:
		n = len(v)
	case map[string]any, string, bool, int, float64, deviceVars, []byte:
		return nil, fmt.Errorf("a list is wanted here, not %s", kindOf(v))
	default:
		n = runtime.Len(v)
	}
	if n > maxListItems {
		return nil, fmt.Errorf("the list has %d items; at most %d are taken", n, maxListItems)
	}
	if b.items -= n; b.items < 0 {
		return nil, fmt.Errorf("the closures visit more than %d items", itemBudget)
	}
	return v, nil
}

func container(v any) any {
	switch v := v.(type) {
	case deviceVars:
		return v.object()
	case map[string]any, []any, []string, []int:
		return v
	case string, bool, int, float64, []byte:
		return nil
	}
	return plainValue(v)
}

func truth(v any) (bool, error) {
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, fmt.Errorf("true or false is wanted here, not %s", kindOf(v))
}

func textOrNone(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return nil, fmt.Errorf("text is wanted here, not %s", kindOf(v))
}
