package mapping

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
)

const (
	maxExpressionText = 16 << 10
	maxCached         = 20_000
	closureDepth      = 2         // a closure, and one nested in it
	itemBudget        = 1_000_000 // items that all closures of one evaluation may visit
	budgetName        = "$budget"
)

// expression is one compiled expression. It is immutable and shared by all
// rules with the same text.
type expression struct {
	text        string
	program     *vm.Program
	free        []string // names it takes from its surroundings, sorted
	path        []string // members, when it is payload.a.b and nothing else
	gpath       string   // the same for gjson; "" when a member needs more care
	members     []string // of device
	wholeDevice bool     // device is used otherwise than by member
	ident       string   // when it is one name and nothing else
	deep        bool     // its result may hold kinds of the library's own
	fixed       bool     // it is a constant
	value       any      // the constant
}

// expressions caches compiled expressions by text. Rules of devices come and
// go, so it is emptied when it grows over maxCached.
var expressions struct {
	sync.RWMutex
	m map[string]*expression
}

// compileExpression compiles text, or takes it from the cache.
func compileExpression(text string) (*expression, error) {
	expressions.RLock()
	x := expressions.m[text]
	expressions.RUnlock()
	if x != nil {
		return x, nil
	}
	x, err := newExpression(text)
	if err != nil {
		return nil, err
	}
	expressions.Lock()
	defer expressions.Unlock()
	if expressions.m == nil || len(expressions.m) >= maxCached {
		expressions.m = make(map[string]*expression)
	}
	expressions.m[text] = x
	return x, nil
}

func newExpression(text string) (*expression, error) {
	if len(text) > maxExpressionText {
		return nil, fmt.Errorf("the expression has %d bytes; at most %d are taken", len(text), maxExpressionText)
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the expression is empty")
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, expressionError(err)
	}
	x := &expression{text: text}
	if err := x.inspect(tree.Node); err != nil {
		return nil, err
	}
	if x.fixed || x.ident != "" {
		return x, nil
	}
	x.program, err = expr.Compile(text, compileOptions()...)
	if err != nil {
		return nil, expressionError(err)
	}
	return x, nil
}

// expressionError shortens a library error to one line.
func expressionError(err error) error {
	var f *file.Error
	if errors.As(err, &f) {
		if f.Line > 0 {
			return fmt.Errorf("%s (at character %d of the expression)", f.Message, f.Column+1)
		}
		return errors.New(f.Message)
	}
	return errors.New(firstLine(err.Error()))
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 300 {
		s = validText(s[:300]) + "…"
	}
	return s
}

// hiddenBuiltins would make an expression's result depend on the clock or the
// machine, or are replaced by functions of our own.
var hiddenBuiltins = []string{
	"now", "date", "duration", "timezone", "toJSON", "fromJSON", "flatten", "get", "fromBase64", "toBase64",
	"uniq", "repeat", "replace", "join",
}

func compileOptions() []expr.Option {
	opts := []expr.Option{
		expr.Env(map[string]any{}),
		expr.AllowUndefinedVariables(),
		expr.Optimize(false),
		expr.MaxNodes(2_000),
		expr.Patch(tolerance{}),
	}
	for _, name := range hiddenBuiltins {
		opts = append(opts, expr.DisableBuiltin(name))
	}
	functionsMu.RLock()
	defer functionsMu.RUnlock()
	for name, fn := range functions {
		opts = append(opts, expr.Function(name, fn))
	}
	for name, fn := range innerFunctions {
		opts = append(opts, expr.Function(name, fn))
	}
	for name, fn := range chargeFunctions {
		opts = append(opts, expr.Function(name, fn))
	}
	return opts
}

// isFunctionName reports whether name can be called, so that no level or
// parameter may have it.
func isFunctionName(name string) bool {
	functionsMu.RLock()
	defer functionsMu.RUnlock()
	if functions[name] != nil {
		return true
	}
	if _, ok := builtin.Index[name]; !ok {
		return false
	}
	for _, hidden := range hiddenBuiltins {
		if name == hidden {
			return false
		}
	}
	return true
}

// inspect checks what the compiler does not (names called, nesting of
// closures) and notes the free names and the simple forms.
func (x *expression) inspect(n ast.Node) error {
	in := inspector{free: map[string]bool{}, declared: map[string]int{}}
	in.visit(n, 0)
	if in.err != nil {
		return in.err
	}
	x.deep = in.deep
	x.free, x.members, x.wholeDevice = sortedKeys(in.free), in.members, in.wholeDevice
	switch n := n.(type) {
	case *ast.IdentifierNode:
		x.ident = n.Value
		if n.Value == "payload" {
			x.path = []string{}
		}
	case *ast.MemberNode:
		x.path = payloadPath(n)
		x.gpath = gjsonPath(x.path)
	case *ast.NilNode:
		x.fixed = true
	case *ast.BoolNode:
		x.fixed, x.value = true, n.Value
	case *ast.IntegerNode:
		x.fixed, x.value = true, n.Value
	case *ast.FloatNode:
		x.fixed, x.value = true, n.Value
	case *ast.StringNode:
		x.fixed, x.value = true, n.Value
	}
	return nil
}

func payloadPath(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if n.Value == "payload" {
			return []string{}
		}
	case *ast.MemberNode:
		key, ok := n.Property.(*ast.StringNode)
		if base := payloadPath(n.Node); ok && base != nil {
			return append(base, key.Value)
		}
	}
	return nil
}

// gjsonPath gives the path for gjson when each member is plain text that gjson
// cannot take for an index, a query or a modifier.
func gjsonPath(path []string) string {
	escaped := make([]string, len(path))
	for i, key := range path {
		digits := true
		for j := 0; j < len(key); j++ {
			c := key[j]
			if c < 0x20 || c >= 0x7f {
				return ""
			}
			digits = digits && c >= '0' && c <= '9'
		}
		if digits || strings.ContainsAny(key, `@!{}[]()|#:`) {
			return ""
		}
		escaped[i] = gjson.Escape(key)
	}
	return strings.Join(escaped, ".")
}

type inspector struct {
	deep        bool
	free        map[string]bool
	declared    map[string]int
	members     []string
	wholeDevice bool
	err         error
}

func (in *inspector) fail(n ast.Node, format string, args ...any) {
	if in.err == nil {
		in.err = fmt.Errorf("%s (at character %d of the expression)", fmt.Sprintf(format, args...), n.Location().From+1)
	}
}

func (in *inspector) visit(n ast.Node, depth int) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			in.fail(n, "the name %s is not known", n.Value)
		} else if in.declared[n.Value] == 0 {
			in.free[n.Value] = true
		}
		in.wholeDevice = in.wholeDevice || n.Value == "device"
	case *ast.MemberNode:
		key, plain := n.Property.(*ast.StringNode)
		if base, ok := n.Node.(*ast.IdentifierNode); ok && plain && base.Value == "device" && in.declared["device"] == 0 {
			in.free["device"] = true
			in.members = append(in.members, key.Value)
			return
		}
		in.visitAll([]ast.Node{n.Node, n.Property}, depth)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok || !isFunctionName(callee.Value) {
			in.fail(n, "%s is not a function", n.Callee)
			return
		}
		in.visitAll(n.Arguments, depth)
	case *ast.BuiltinNode:
		for _, hidden := range hiddenBuiltins {
			if n.Name == hidden && !isFunctionName(n.Name) {
				in.fail(n, "%s is not a function", n.Name)
			}
		}
		in.deep = true
		in.visitAll(n.Arguments, depth)
	case *ast.PredicateNode:
		if depth >= closureDepth {
			in.fail(n, "closures nest more than once, so the time is not bounded")
		}
		in.visit(n.Node, depth+1)
	case *ast.VariableDeclaratorNode:
		if isFunctionName(n.Name) {
			in.fail(n, "%s is the name of a function", n.Name)
		}
		in.visit(n.Value, depth)
		in.declared[n.Name]++
		in.visit(n.Expr, depth)
		in.declared[n.Name]--
	case *ast.BinaryNode:
		in.deep = in.deep || n.Operator == ".."
		if n.Operator == "matches" {
			if _, err := patternProgram(n.Right); err != nil {
				in.fail(n, "%s", err)
			}
		}
		in.visitAll(children(n), depth)
	default:
		in.visitAll(children(n), depth)
	}
}

func (in *inspector) visitAll(list []ast.Node, depth int) {
	for _, n := range list {
		if n != nil {
			in.visit(n, depth)
		}
	}
}

func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}

func (x *expression) uses(name string) bool {
	i := sort.SearchStrings(x.free, name)
	return i < len(x.free) && x.free[i] == name
}

var vmPool = sync.Pool{New: func() any { return &machine{env: make(map[string]any, 8)} }}

// machine is one evaluation's working memory.
type machine struct {
	vm     vm.VM
	env    map[string]any
	budget budget
}

// run evaluates x; lookup gives the value of each free name.
func (x *expression) run(lookup func(name string) any) (any, error) {
	if x.fixed {
		return x.value, nil
	}
	if x.ident != "" {
		return lookup(x.ident), nil
	}
	m := vmPool.Get().(*machine)
	for _, name := range x.free {
		m.env[name] = lookup(name)
	}
	m.budget = budget{items: itemBudget, work: workBudget}
	m.env[budgetName] = &m.budget
	v, err := m.vm.Run(x.program, m.env)
	if err == nil {
		err = m.budget.read(v, 1, true)
	}
	clear(m.env)
	vmPool.Put(m)
	if err != nil {
		if refused := (*Refusal)(nil); errors.As(err, &refused) {
			return nil, refused
		}
		var f *file.Error
		if errors.As(err, &f) {
			err = errors.New(firstLine(inWords(f.Message)))
		}
		return nil, fmt.Errorf("%s: %w", shorten(x.text, 80), err)
	}
	if x.deep {
		return deepPlain(v, 0), nil
	}
	return plainValue(v), nil
}

// shorten is s for a message: one line of about n bytes.
func shorten(s string, n int) string {
	if strings.Contains(s, "\n") {
		s = strings.Join(strings.Fields(s), " ")
	}
	if len(s) <= n {
		return s
	}
	return validText(s[:n]) + "…"
}

// gate gives what of a condition can be told without the device: all of it, or
// those of its members joined by `and` that do not look at device; nil: nothing.
func (x *expression) gate() *expression {
	if x == nil || !x.uses("device") {
		return x
	}
	tree, err := parser.Parse(x.text)
	if err != nil {
		return nil
	}
	var texts []string
	for _, n := range conjuncts(tree.Node, nil) {
		if part, err := compileExpression(n.String()); err == nil && !part.uses("device") {
			texts = append(texts, "("+n.String()+")")
		}
	}
	if len(texts) == 0 {
		return nil
	}
	gate, err := compileExpression(strings.Join(texts, " and "))
	if err != nil {
		return nil
	}
	return gate
}

func conjuncts(n ast.Node, into []ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return conjuncts(b.Right, conjuncts(b.Left, into))
	}
	return append(into, n)
}
