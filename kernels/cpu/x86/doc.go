// Package x86 is the amd64 assembly of the CPU device: how fast can one core do each hot loop?
//
// Every function equals the loop in its comment. Names that end in Z need AVX-512 (F, BW, DQ, VL),
// BMI2, and VNNI where said; names that end in Y need AVX2, FMA and F16C; the caller asks the CPU.
// Nothing here checks a length or keeps a pointer. A result depends on the arguments only, never
// on alignment or on what is beside them in memory, and is the same bits in both forms. Calls
// cannot be preempted: keep each below about a millisecond.
//
// The code is written by the generator in ../asm: go generate here writes it, and
//
//	go -C ../asm run . -check
//
// fails if what is committed differs. On other architectures the package is empty.
package x86

//go:generate go -C ../asm run . -dir ../x86
