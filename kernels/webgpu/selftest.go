//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

// SelfTest is replaced below.
func (d *Device) SelfTest() error { return nil }
