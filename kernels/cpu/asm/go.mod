module transformer2/kernels/cpu/asm

go 1.27.0

toolchain go1.27.2

require (
	github.com/mmcloughlin/avo v0.6.0
	golang.org/x/mod v0.33.0 // indirect
	golang.org/x/sync v0.19.0 // indirect
	golang.org/x/tools v0.42.0 // indirect
)
