package cpu

// On WebAssembly a block of a panel of Q8 lies as a panel of f32 does, so that columns are lanes:
//
//	32 scales, f32, one an output
//	[input 32][output 32] of q
const q8Zero = 0

// q8At is where input l of output j lies in a block.
func q8At(l, j int) int { return q8Scales + l*nr + j }

// q8Raw is a stored byte as a number, q + q8Zero.
func q8Raw(b byte) int32 { return int32(int8(b)) }
