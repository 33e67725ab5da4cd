package task

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The guarded dialect: a program is parsed, everything outside a small language is refused, and
// each operator becomes a call of a builtin that checks sizes first. x + y turns into "op +"(x, y),
// a name that no program can write.

// allowedBuiltins are Starlark's own that are harmless once their arguments are bounded.
var allowedBuiltins = []string{"abs", "all", "any", "bool", "enumerate", "float", "int", "len",
	"list", "max", "min", "print", "range", "reversed", "sorted", "str", "tuple", "zip"}

// allowedMethods neither compare nor copy more than a step's worth.
var allowedMethods = map[string]bool{"append": true, "clear": true, "insert": true, "pop": true,
	"upper": true, "lower": true, "strip": true}

// guardedOps are the operators that become calls; and, or, not and unary minus stay.
var guardedOps = []syntax.Token{syntax.PLUS, syntax.MINUS, syntax.STAR, syntax.SLASH,
	syntax.SLASHSLASH, syntax.PERCENT, syntax.AMP, syntax.PIPE, syntax.CIRCUMFLEX, syntax.LTLT,
	syntax.GTGT, syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE, syntax.IN,
	syntax.NOT_IN}

// predeclared holds all names a guarded program can see. It is frozen and shared.
var predeclared = buildPredeclared()

func opName(t syntax.Token) string { return "op " + t.String() }

func buildPredeclared() starlark.StringDict {
	d := starlark.StringDict{"True": starlark.True, "False": starlark.False, "None": starlark.None,
		"sum": starlark.NewBuiltin("sum", builtinSum)}
	for _, name := range allowedBuiltins {
		d[name] = guardBuiltin(starlark.Universe[name].(*starlark.Builtin))
	}
	for _, t := range guardedOps {
		d[opName(t)] = guardOp(t)
	}
	d.Freeze()
	return d
}

// guardBuiltin checks the arguments of a builtin, and the results of its key function.
func guardBuiltin(b *starlark.Builtin) starlark.Value {
	lazy := b.Name() == "range" || b.Name() == "len" || b.Name() == "bool"
	return starlark.NewBuiltin(b.Name(), func(th *starlark.Thread, _ *starlark.Builtin,
		args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if !lazy {
			if err := bounded(args...); err != nil {
				return nil, err
			}
		}
		for i, kv := range kwargs {
			if kv[0] == starlark.String("key") && kv[1] != starlark.None {
				kwargs[i] = starlark.Tuple{kv[0], guardKey(kv[1])}
			} else if err := bounded(kv[1]); err != nil {
				return nil, err
			}
		}
		return starlark.Call(th, b, args, kwargs)
	})
}

func guardKey(key starlark.Value) starlark.Value {
	return starlark.NewBuiltin("key", func(th *starlark.Thread, _ *starlark.Builtin,
		args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := starlark.Call(th, key, args, kwargs)
		if err == nil {
			err = bounded(v)
		}
		return v, err
	})
}

// guardOp is a binary operator that checks its operands, and for a product its result, first.
func guardOp(t syntax.Token) starlark.Value {
	return starlark.NewBuiltin(t.String(), func(_ *starlark.Thread, _ *starlark.Builtin,
		args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		x, y := args[0], args[1]
		if err := bounded(x, y); err != nil {
			return nil, err
		}
		switch t {
		case syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE:
			same, err := starlark.Compare(t, x, y)
			return starlark.Bool(same), err
		case syntax.STAR:
			if err := boundedProduct(x, y); err != nil {
				return nil, err
			}
		}
		return starlark.Binary(t, x, y)
	})
}

// boundedProduct refuses to repeat a sequence past maxSize.
func boundedProduct(x, y starlark.Value) error {
	n, isInt := x.(starlark.Int)
	if !isInt {
		x, y = y, x
		n, isInt = x.(starlark.Int)
	}
	if _, both := y.(starlark.Int); !isInt || both {
		return nil
	}
	if k, ok := n.Int64(); !ok || k > maxSize || int(max(k, 0))*unitsOf(y) > maxSize {
		return fmt.Errorf("want a product of at most %d units", maxSize)
	}
	return nil
}

// builtinSum is Python's sum, which Starlark lacks.
func builtinSum(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple,
	kwargs []starlark.Tuple) (starlark.Value, error) {
	var xs starlark.Iterable
	var total starlark.Value = starlark.MakeInt(0)
	if err := starlark.UnpackArgs("sum", args, kwargs, "iterable", &xs, "start?", &total); err != nil {
		return nil, err
	}
	if err := bounded(xs, total); err != nil {
		return nil, err
	}
	it := xs.Iterate()
	defer it.Done()
	var x starlark.Value
	for it.Next(&x) {
		switch x.(type) {
		case starlark.Int, starlark.Float:
		default:
			return nil, fmt.Errorf("sum: want numbers, got %s", x.Type())
		}
		y, err := starlark.Binary(syntax.PLUS, total, x)
		if err != nil {
			return nil, err
		}
		total = y
	}
	return total, nil
}

// compileGuarded parses, checks, rewrites and compiles a program.
func compileGuarded(src string) (prog *starlark.Program, err error) {
	if len(src) > maxSource {
		return nil, fmt.Errorf("want at most %d bytes of program, got %d", maxSource, len(src))
	}
	defer func() {
		if p := recover(); p != nil {
			prog, err = nil, fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	file, err := dialect.Parse("program", src, 0)
	if err != nil {
		return nil, err
	}
	g := guard{}
	g.stmts(file.Stmts)
	if g.err != nil {
		return nil, g.err
	}
	return starlark.FileProgram(file, predeclared.Has)
}

// guard rewrites a syntax tree in place and keeps the first refusal.
type guard struct{ err error }

func (g *guard) refuse(n syntax.Node, what string) {
	if g.err == nil {
		start, _ := n.Span()
		g.err = fmt.Errorf("%s: %s is not in the language of answers", start, what)
	}
}

func (g *guard) stmts(list []syntax.Stmt) {
	for _, s := range list {
		g.stmt(s)
	}
}

func (g *guard) stmt(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.ExprStmt:
		g.expr(&s.X)
	case *syntax.BranchStmt:
	case *syntax.IfStmt:
		g.expr(&s.Cond)
		g.stmts(s.True)
		g.stmts(s.False)
	case *syntax.AssignStmt:
		g.assign(s)
	case *syntax.DefStmt:
		g.params(s.Params)
		g.stmts(s.Body)
	case *syntax.ForStmt:
		g.expr(&s.Vars)
		g.expr(&s.X)
		g.stmts(s.Body)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			g.expr(&s.Result)
		}
	default:
		g.refuse(s, fmt.Sprintf("%T", s))
	}
}

// assign turns x += y into x = x + y; x is evaluated twice where it is an index expression.
func (g *guard) assign(s *syntax.AssignStmt) {
	g.expr(&s.LHS)
	g.expr(&s.RHS)
	if s.Op == syntax.EQ {
		return
	}
	lhs := s.LHS
	if id, ok := lhs.(*syntax.Ident); ok {
		lhs = &syntax.Ident{NamePos: id.NamePos, Name: id.Name}
	}
	s.RHS = opCall(s.OpPos, s.Op-syntax.PLUS_EQ+syntax.PLUS, lhs, s.RHS)
	s.Op = syntax.EQ
}

func opCall(at syntax.Position, t syntax.Token, x, y syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: at, Name: opName(t)}, Lparen: at,
		Args: []syntax.Expr{x, y}, Rparen: at}
}

func (g *guard) params(list []syntax.Expr) {
	for _, p := range list {
		switch p := p.(type) {
		case *syntax.Ident:
		case *syntax.BinaryExpr: // name=default
			g.expr(&p.Y)
		default:
			g.refuse(p, "a starred parameter")
		}
	}
}

// expr checks an expression and replaces its operators.
func (g *guard) expr(p *syntax.Expr) {
	switch x := (*p).(type) {
	case *syntax.Ident:
		if starlark.Universe.Has(x.Name) && !predeclared.Has(x.Name) {
			g.refuse(x, x.Name)
		}
	case *syntax.Literal:
		if x.Token == syntax.BYTES {
			g.refuse(x, "a bytes literal")
		}
	case *syntax.ParenExpr:
		g.expr(&x.X)
	case *syntax.CallExpr:
		g.call(x)
	case *syntax.DotExpr:
		if !allowedMethods[x.Name.Name] {
			g.refuse(x, "."+x.Name.Name)
		}
		g.expr(&x.X)
	case *syntax.Comprehension:
		g.comprehension(x)
	case *syntax.LambdaExpr:
		g.params(x.Params)
		g.expr(&x.Body)
	case *syntax.ListExpr:
		g.exprs(x.List)
	case *syntax.TupleExpr:
		g.exprs(x.List)
	case *syntax.CondExpr:
		g.expr(&x.Cond)
		g.expr(&x.True)
		g.expr(&x.False)
	case *syntax.UnaryExpr:
		g.unary(x)
	case *syntax.BinaryExpr:
		g.expr(&x.X)
		g.expr(&x.Y)
		if x.Op != syntax.AND && x.Op != syntax.OR {
			*p = opCall(x.OpPos, x.Op, x.X, x.Y)
		}
	case *syntax.SliceExpr:
		for _, part := range []*syntax.Expr{&x.X, &x.Lo, &x.Hi, &x.Step} {
			if *part != nil {
				g.expr(part)
			}
		}
	case *syntax.IndexExpr:
		g.expr(&x.X)
		g.expr(&x.Y)
	default:
		g.refuse(x, fmt.Sprintf("%T", x))
	}
}

func (g *guard) exprs(list []syntax.Expr) {
	for i := range list {
		g.expr(&list[i])
	}
}

func (g *guard) unary(x *syntax.UnaryExpr) {
	if x.Op == syntax.STAR || x.Op == syntax.STARSTAR || x.X == nil {
		g.refuse(x, "a starred expression")
		return
	}
	g.expr(&x.X)
}

// call keeps name=value arguments and refuses starred ones.
func (g *guard) call(x *syntax.CallExpr) {
	g.expr(&x.Fn)
	for i := range x.Args {
		if named, ok := x.Args[i].(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
			g.expr(&named.Y)
			continue
		}
		g.expr(&x.Args[i])
	}
}

func (g *guard) comprehension(x *syntax.Comprehension) {
	if x.Curly {
		g.refuse(x, "a dict")
		return
	}
	for _, c := range x.Clauses {
		switch c := c.(type) {
		case *syntax.ForClause:
			g.expr(&c.Vars)
			g.expr(&c.X)
		case *syntax.IfClause:
			g.expr(&c.Cond)
		}
	}
	g.expr(&x.Body)
}
