package compute

// Ranker finds what a token is drawn from. A device that is far from the host may also be a Ranker:
// then a row of logits need not be read back whole.
type Ranker interface {
	// TopK: of every row x[t] the k ≥ 1 largest numbers, the first of equals; NaN is none of them. For
	// the i-th of them, in the order of their places j:
	//
	//	top[2kt+i] = j      top[2kt+k+i] = the bits of x[t,j]
	//
	// Where a row has fewer, the places of the rest are −1. top has 2k numbers for each row.
	TopK(top Ints, x Tensor, k int)
}

// Wrapper is a Device that hands its ops on to another, and may hide what else that can do.
type Wrapper interface {
	Unwrap() Device
}

// As is dev, or what it wraps, as a T: an optional ability of a device.
func As[T any](dev Device) (ability T, ok bool) {
	for {
		if ability, ok = dev.(T); ok {
			return ability, true
		}
		w, wraps := dev.(Wrapper)
		if !wraps {
			return ability, false
		}
		dev = w.Unwrap()
	}
}
