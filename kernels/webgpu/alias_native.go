//go:build (linux || windows || darwin) && (amd64 || arm64)

package webgpu

// aliasesForbidden says whether a buffer that a kernel writes may be bound a second time. The
// native APIs allow it, and the kernels that work in place read a number before they write it.
const aliasesForbidden = false

func (d *Device) unalias(*layout, *[most]*buffer) {}
