package svf_test

import (
	"fmt"

	"transformer2/shared/svf"
)

func ExampleMix() {
	name := svf.Name(0, svf.Up)
	math := &svf.Expert{Meta: svf.Meta{Parametrisation: svf.Linear, Task: "math"},
		Z: map[string][]float32{name: {1.5, 1, 0.5}}}
	code := &svf.Expert{Meta: svf.Meta{Parametrisation: svf.Linear, Task: "code"},
		Z: map[string][]float32{name: {1, 2, 1}}}
	math.Meta.Scope, _ = svf.ParseScope("mlp:0")
	code.Meta.Scope, _ = svf.ParseScope("up")

	mix, err := svf.Mix([]*svf.Expert{math, code}, svf.PerExpert(0.5, 0.25))
	fmt.Println(mix.Meta.Task, mix.Meta.Scope, mix.Z[name], err)
	// Output: math=0.5,code=0.25 mlp:0,up [1.25 1.25 0.75] <nil>
}

func ExampleParseScope() {
	scope, err := svf.ParseScope("attention, mlp:16-")
	fmt.Println(scope, err)
	fmt.Println(scope.Has("model.layers.3.self_attn.q_proj.weight"),
		scope.Has("model.layers.3.mlp.up_proj.weight"))
	// Output:
	// mlp:16-,attention <nil>
	// true false
}
