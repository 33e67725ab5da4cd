package svf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Scope says which weights are adapted: sets of roles, each in all layers or a range of them.
// The zero Scope has none.
type Scope struct{ parts []part }

type part struct {
	set         int // index in sets
	first, last int // layers, both in it; last < 0 means to the end
}

// sets are the scopes by name. The paper's "attention" is q and v (its table 4: 0.16 M numbers for
// Llama-3-8B); the released code trains "mlp".
var sets = []struct {
	name  string
	roles []Role
}{
	{"mlp", []Role{Gate, Up, Down}},
	{"attention", []Role{Q, V}},
	{"all", []Role{Q, K, V, O, Gate, Up, Down}},
	{"q", []Role{Q}}, {"k", []Role{K}}, {"v", []Role{V}}, {"o", []Role{O}},
	{"gate", []Role{Gate}}, {"up", []Role{Up}}, {"down", []Role{Down}},
}

// AllScope has every linear weight of every layer.
func AllScope() Scope { return mustScope("all") }

func mustScope(s string) Scope {
	scope, err := ParseScope(s)
	if err != nil {
		panic(err)
	}
	return scope
}

// ScopeOf has the weights of these names and no other; a name that ParseName does not know is left
// out.
func ScopeOf(names ...string) Scope {
	var scope Scope
	for _, name := range names {
		if layer, role, ok := ParseName(name); ok {
			p, err := parsePart(fmt.Sprintf("%v:%d", role, layer))
			if err != nil {
				panic(err) // roles are sets
			}
			scope.parts = append(scope.parts, p)
		}
	}
	return scope.normal()
}

// ParseScope reads sets joined by commas, each with an optional range of layers:
//
//	mlp   attention   all   mlp,attention   mlp:0-3   mlp:7   mlp:16-   q:0-3,gate:4-
//
// Sets are mlp (gate, up, down), attention (q, v), all, and the roles q k v o gate up down.
func ParseScope(s string) (Scope, error) {
	var scope Scope
	for _, text := range strings.Split(s, ",") {
		p, err := parsePart(strings.TrimSpace(text))
		if err != nil {
			return Scope{}, fmt.Errorf("svf: scope %q: %w", s, err)
		}
		scope.parts = append(scope.parts, p)
	}
	return scope.normal(), nil
}

func parsePart(text string) (part, error) {
	name, layers, ranged := strings.Cut(text, ":")
	p := part{set: slices.IndexFunc(sets, func(s struct {
		name  string
		roles []Role
	}) bool {
		return s.name == name
	}), last: -1}
	if p.set < 0 {
		return p, fmt.Errorf("unknown set %q, want mlp, attention, all, q, k, v, o, gate, up or "+
			"down", name)
	}
	if !ranged {
		return p, nil
	}
	first, last, isRange := strings.Cut(layers, "-")
	var err error
	if p.first, err = parseLayer(first); err != nil {
		return p, err
	}
	switch {
	case !isRange:
		p.last = p.first
	case last != "":
		if p.last, err = parseLayer(last); err != nil {
			return p, err
		}
		if p.last < p.first {
			return p, fmt.Errorf("layers %d-%d run backwards", p.first, p.last)
		}
	}
	return p, nil
}

func parseLayer(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("layer %q is not a whole number", s)
	}
	return int(n), nil
}

// normal sorts the parts and drops repeated ones.
func (s Scope) normal() Scope {
	parts := slices.Clone(s.parts)
	slices.SortFunc(parts, func(a, b part) int {
		for _, d := range []int{a.set - b.set, a.first - b.first, a.last - b.last} {
			if d != 0 {
				return d
			}
		}
		return 0
	})
	return Scope{slices.Compact(parts)}
}

// Has reports whether a weight of the checkpoint is in the scope.
func (s Scope) Has(name string) bool {
	layer, role, ok := ParseName(name)
	return ok && slices.ContainsFunc(s.parts, func(p part) bool {
		return layer >= p.first && (p.last < 0 || layer <= p.last) &&
			slices.Contains(sets[p.set].roles, role)
	})
}

// IsZero reports whether the scope has no weights at all.
func (s Scope) IsZero() bool { return len(s.parts) == 0 }

// Union has what either scope has.
func (s Scope) Union(t Scope) Scope { return Scope{slices.Concat(s.parts, t.parts)}.normal() }

// String is the scope as ParseScope reads it, the parts in a fixed order.
func (s Scope) String() string {
	texts := make([]string, len(s.parts))
	for i, p := range s.parts {
		switch {
		case p.last < 0 && p.first == 0:
			texts[i] = sets[p.set].name
		case p.last < 0:
			texts[i] = fmt.Sprintf("%s:%d-", sets[p.set].name, p.first)
		case p.first == p.last:
			texts[i] = fmt.Sprintf("%s:%d", sets[p.set].name, p.first)
		default:
			texts[i] = fmt.Sprintf("%s:%d-%d", sets[p.set].name, p.first, p.last)
		}
	}
	return strings.Join(texts, ",")
}
