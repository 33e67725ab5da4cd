//go:build js && wasm

package webgpu

import "transformer2/kernels"

// aliasesForbidden: WebGPU refuses a dispatch that binds a buffer twice and writes it.
const aliasesForbidden = true

// unalias puts copies in the place of buffers that are read and also written.
func (d *Device) unalias(l *layout, bufs *[most]*buffer) {
	for i := range l.n {
		for j := range l.n {
			if l.writes[i] || !l.writes[j] || bufs[i] != bufs[j] {
				continue
			}
			words := int(bufs[i].size / 4)
			copied := d.scratchBuffer(scratchAlias+i, words)
			d.run(kernels.Variant{Name: "copy"}, threads(words), [most]*buffer{copied, bufs[i]},
				uint32(words), 0, 0)
			bufs[i] = copied
			break
		}
	}
}
