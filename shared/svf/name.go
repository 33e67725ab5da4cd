package svf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Role is what a linear weight does in a layer.
type Role uint8

// The linear weights of a Llama layer, in the order in which a forward pass meets them.
const (
	Q Role = iota
	K
	V
	O
	Gate
	Up
	Down
	roles
)

var roleNames = [roles]string{"q", "k", "v", "o", "gate", "up", "down"}

// String is the role's short name: q, k, v, o, gate, up, down.
func (r Role) String() string {
	if r < roles {
		return roleNames[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Name is the checkpoint's name of a weight: model.layers.3.mlp.gate_proj.weight.
func Name(layer int, r Role) string {
	block := "self_attn"
	if r >= Gate {
		block = "mlp"
	}
	return fmt.Sprintf("model.layers.%d.%s.%v_proj.weight", layer, block, r)
}

// ParseName is the inverse of Name; ok is false for any other tensor.
func ParseName(name string) (layer int, r Role, ok bool) {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		return 0, 0, false
	}
	number, _, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, 0, false
	}
	layer, err := strconv.Atoi(number)
	if err != nil || layer < 0 {
		return 0, 0, false
	}
	for r := range roles {
		if Name(layer, r) == name { // also refuses "model.layers.03."
			return layer, r, true
		}
	}
	return 0, 0, false
}

// CompareNames orders weights by layer, then by role; names that are no layer's weight come last.
func CompareNames(a, b string) int {
	la, ra, oka := ParseName(a)
	lb, rb, okb := ParseName(b)
	switch {
	case oka && okb:
		return cmp.Or(cmp.Compare(la, lb), cmp.Compare(ra, rb))
	case oka:
		return -1
	case okb:
		return 1
	}
	return strings.Compare(a, b)
}

// Names lists the weights that any of the experts adapts, in the order of CompareNames.
func Names(experts ...*Expert) []string {
	seen := map[string]bool{}
	var names []string
	for _, e := range experts {
		for name := range e.Z {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, CompareNames)
	return names
}
