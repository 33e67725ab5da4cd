package webgpu

import "fmt"

// Options choose the adapter; the zero value takes the fastest kind that there is.
type Options struct {
	// Adapter is a part of the adapter's name, in any case; "" for any.
	Adapter string
	// Unchecked leaves out the self-test.
	Unchecked bool
}

// Adapter is a GPU, or a driver that plays one, as its driver describes it.
type Adapter struct {
	Name    string `json:"name"`    // "NVIDIA H200"
	Kind    string `json:"kind"`    // Kind*
	API     string `json:"api"`     // "Vulkan"
	Driver  string `json:"driver"`  // the driver's name and version
	Binding uint64 `json:"binding"` // most bytes that a kernel can see of one buffer
}

// Kinds of adapters, the fastest first.
const (
	KindDiscrete   = "discrete"
	KindIntegrated = "integrated"
	KindVirtual    = "virtual"
	KindOther      = "other"
	KindCPU        = "cpu" // a driver that runs shaders on the processor
)

func (a Adapter) String() string { return fmt.Sprintf("%s (%s)", a.Name, a.API) }

// rankUnknown is the first rank that may not be a GPU.
const rankUnknown = 3

// rank orders kinds: the smaller, the better.
func (a Adapter) rank() int {
	for i, k := range []string{KindDiscrete, KindIntegrated, KindVirtual, KindOther} {
		if a.Kind == k {
			return i
		}
	}
	return 4
}
