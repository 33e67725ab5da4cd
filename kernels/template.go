package kernels

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// The kernels are written in the part of text/template's language that they need, and read by what
// follows, since text/template itself keeps every method of the whole program alive: a sixth of the
// engine that a browser loads. That both give the same text is tested.
//
//	{{x}}  {{if x}} {{else if x}} {{else}} {{end}}  {{range x}} {{range $i, $v := x}} {{end}}
//	{{$v := x}}  {{$v = x}}  {{define "name"}} {{end}}  {{template "name" x}}  {{- and -}} trim
//
// x is a number, a "text", ., $, $v, a field or a method of these, a function of funcs with its
// arguments, or one of those in parentheses.

// node is a piece of a template.
type node struct {
	kind string // text, print, let, set, if, range, template
	text string // of text; the variable's name, or two; the template's name
	x    *expr
	body []node
	last []node // of if: otherwise
}

// expr is an operand (without arguments) or a call; without a word, its argument in parentheses.
type expr struct {
	word   string
	args   []*expr
	member string // of what is in parentheses; "" for all of it
}

// parser reads one file.
type parser struct {
	rest    string
	defined map[string][]node
	err     error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.rest = ""
}

// list reads nodes up to an end or an else, which it gives with what follows that.
func (p *parser) list() (nodes []node, last string) {
	for p.err == nil {
		text, action, found := strings.Cut(p.rest, "{{")
		if !found {
			p.rest = ""
			return append(nodes, node{kind: "text", text: text}), ""
		}
		if strings.HasPrefix(action, "- ") {
			text, action = strings.TrimRightFunc(text, unicode.IsSpace), action[2:]
		}
		nodes = append(nodes, node{kind: "text", text: text})
		action, p.rest, found = strings.Cut(action, "}}")
		if !found {
			p.fail("an action has no end: %.40q", action)
		}
		if trimmed, ok := strings.CutSuffix(action, " -"); ok {
			action, p.rest = trimmed, strings.TrimLeftFunc(p.rest, unicode.IsSpace)
		}
		action = strings.TrimSpace(action)
		word, tail, _ := strings.Cut(action, " ")
		switch word {
		case "end", "else":
			return nodes, action
		case "define":
			body, _ := p.inner()
			p.defined[strings.Trim(tail, `"`)] = body
		case "if":
			nodes = append(nodes, p.branch(tail))
		case "range":
			n := node{kind: "range"}
			if names, x, ok := strings.Cut(tail, " := "); ok {
				n.text, tail = names, x
			}
			n.x = p.expr(tail)
			n.body, _ = p.inner()
			nodes = append(nodes, n)
		case "template":
			name, x, _ := strings.Cut(tail, " ")
			nodes = append(nodes, node{kind: "template", text: strings.Trim(name, `"`), x: p.expr(x)})
		default:
			nodes = append(nodes, p.statement(action))
		}
	}
	return nodes, ""
}

// inner reads nodes up to an end or an else that must come.
func (p *parser) inner() (nodes []node, last string) {
	if nodes, last = p.list(); last == "" {
		p.fail("an end is missing")
	}
	return nodes, last
}

// branch reads what follows the condition of an if.
func (p *parser) branch(condition string) node {
	n := node{kind: "if", x: p.expr(condition)}
	var last string
	n.body, last = p.inner()
	if more, ok := strings.CutPrefix(last, "else if "); ok {
		n.last = []node{p.branch(more)}
	} else if last == "else" {
		n.last, _ = p.inner()
	}
	return n
}

func (p *parser) statement(action string) node {
	for kind, sign := range map[string]string{"let": " := ", "set": " = "} {
		name, x, ok := strings.Cut(action, sign)
		if ok && strings.HasPrefix(name, "$") && !strings.Contains(name, " ") {
			return node{kind: kind, text: name, x: p.expr(x)}
		}
	}
	return node{kind: "print", x: p.expr(action)}
}

// expr reads a whole expression; nil where there is none.
func (p *parser) expr(text string) *expr {
	x, rest := p.call(text)
	if rest != "" {
		p.fail("%q is left of an expression", rest)
	}
	return x
}

// call reads words up to the end or a closing parenthesis: the first one's arguments.
func (p *parser) call(text string) (x *expr, rest string) {
	for text = strings.TrimLeft(text, " "); text != "" && text[0] != ')'; {
		var operand *expr
		if text[0] == '(' {
			operand, text = p.call(text[1:])
			if !strings.HasPrefix(text, ")") {
				p.fail("a parenthesis has no end")
				return nil, ""
			}
			operand, text = &expr{args: []*expr{operand}}, text[1:]
			if strings.HasPrefix(text, ".") {
				n := wordEnd(text)
				operand.member, text = text[1:n], text[n:]
			}
		} else {
			n := wordEnd(text)
			if text[0] == '"' {
				if n = strings.IndexByte(text[1:], '"') + 2; n == 1 {
					p.fail("a text has no end: %s", text)
					return nil, ""
				}
			}
			operand, text = &expr{word: text[:n]}, text[n:]
		}
		switch {
		case x == nil:
			x = operand
		case x.word == "":
			p.fail("what is in parentheses takes no arguments: %s", text)
		default:
			x.args = append(x.args, operand)
		}
		text = strings.TrimLeft(text, " ")
	}
	return x, text
}

// wordEnd is where the first word of text ends.
func wordEnd(text string) int {
	if n := strings.IndexAny(text, " )"); n >= 0 {
		return n
	}
	return len(text)
}

// funcs are the functions of the language.
var funcs = map[string]func(a []any) any{
	"seq": func(a []any) any { return seq(a[0].(int)) },
	"add": func(a []any) any { return a[0].(int) + a[1].(int) },
	"mul": func(a []any) any { return a[0].(int) * a[1].(int) },
	"div": func(a []any) any { return a[0].(int) / a[1].(int) },
	"mod": func(a []any) any { return a[0].(int) % a[1].(int) },
	"lt":  func(a []any) any { return a[0].(int) < a[1].(int) },
	"gt":  func(a []any) any { return a[0].(int) > a[1].(int) },
	"eq":  func(a []any) any { return a[0] == a[1] },
	"ne":  func(a []any) any { return a[0] != a[1] },
	"index": func(a []any) any {
		return reflect.ValueOf(a[0]).Index(a[1].(int)).Interface()
	},
	"or": func(a []any) any {
		for _, v := range a[:len(a)-1] {
			if truth(v) {
				return v
			}
		}
		return a[len(a)-1]
	},
	"printf": func(a []any) any { return fmt.Sprintf(a[0].(string), a[1:]...) },
}

// truth is what an if asks: not the zero of its type.
func truth(v any) bool { return v != nil && !reflect.ValueOf(v).IsZero() }

// machine runs a template. What a kernel's text does wrong (a word that is none, a number where a
// text is due) is a panic, which expand turns into an error.
type machine struct {
	templates map[string][]node
	out       strings.Builder
	vars      []variable // the innermost last
}

type variable struct {
	name  string
	value any
}

// expand runs the template name on v.
func expand(templates map[string][]node, name string, v Variant) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	m := &machine{templates: templates}
	m.call(name, v)
	return m.out.String(), nil
}

// call runs a template, which sees no variables but $, what it is given.
func (m *machine) call(name string, data any) {
	nodes, ok := m.templates[name]
	if !ok {
		panic(fmt.Sprintf("there is no template %q", name))
	}
	outer := m.vars
	m.vars = []variable{{"$", data}}
	m.run(nodes, data)
	m.vars = outer
}

// run runs nodes; what they declare ends with them.
func (m *machine) run(nodes []node, dot any) {
	mark := len(m.vars)
	for _, n := range nodes {
		switch n.kind {
		case "text":
			m.out.WriteString(n.text)
		case "print":
			fmt.Fprint(&m.out, m.eval(n.x, dot))
		case "let":
			m.vars = append(m.vars, variable{n.text, m.eval(n.x, dot)})
		case "set":
			*m.find(n.text) = m.eval(n.x, dot)
		case "template":
			var data any
			if n.x != nil {
				data = m.eval(n.x, dot)
			}
			m.call(n.text, data)
		case "if":
			if truth(m.eval(n.x, dot)) {
				m.run(n.body, dot)
			} else {
				m.run(n.last, dot)
			}
		case "range":
			list, outer := reflect.ValueOf(m.eval(n.x, dot)), len(m.vars)
			for i := range list.Len() {
				element := list.Index(i).Interface()
				index, name, both := strings.Cut(n.text, ", ")
				if !both {
					index, name = "", n.text
				}
				m.vars = append(m.vars[:outer], variable{index, i}, variable{name, element})
				m.run(n.body, element)
			}
			m.vars = m.vars[:outer]
		}
	}
	m.vars = m.vars[:mark]
}

// find is the innermost variable of a name.
func (m *machine) find(name string) *any {
	for i := len(m.vars) - 1; i >= 0; i-- {
		if m.vars[i].name == name {
			return &m.vars[i].value
		}
	}
	panic(fmt.Sprintf("there is no variable %s", name))
}

func (m *machine) eval(x *expr, dot any) any {
	if x.word == "" {
		value := m.eval(x.args[0], dot)
		if x.member != "" {
			value = member(value, x.member, nil)
		}
		return value
	}
	var args []any
	for _, a := range x.args {
		args = append(args, m.eval(a, dot))
	}
	if f, ok := funcs[x.word]; ok {
		return f(args)
	}
	if n, err := strconv.Atoi(x.word); err == nil {
		return n
	}
	switch x.word[0] {
	case '"':
		return strings.Trim(x.word, `"`)
	case '.':
		if x.word == "." {
			return dot
		}
		return member(dot, x.word[1:], args)
	}
	name, rest, more := strings.Cut(x.word, ".")
	value := *m.find(name)
	if more {
		value = member(value, rest, args)
	}
	return value
}

// member is a field of v, or what a method of it gives.
func member(v any, name string, args []any) any {
	variant, ok := v.(Variant)
	if p, is := v.(pieces); is {
		variant, ok = p.Variant, true
	}
	if method := methods[name]; ok && method != nil {
		return method(variant, args)
	}
	field := reflect.ValueOf(v).FieldByName(name)
	if !field.IsValid() {
		panic(fmt.Sprintf("%T has no field %s, and the table of methods has none", v, name))
	}
	return field.Interface()
}
