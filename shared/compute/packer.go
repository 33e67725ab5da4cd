package compute

// Packer fills weights from where their numbers come from, rows at a time, without all of them in
// memory as f32. A device may also be a Packer.
type Packer interface {
	// PackFrom is Pack of the rows [out in] that read gives: read fills rows with those from row lo
	// on, len(rows)/in of them. It may be called by several goroutines at once, for every row once
	// unless a call fails; then PackFrom gives one of the errors, and the weight is undefined.
	PackFrom(w Weight, read func(lo int, rows []float32) error) error
	// PackBytes is the same for a weight of BF16 and an even number of inputs, from rows as files hold
	// them: two bytes a number, the lower one first. What they stand for must be finite.
	PackBytes(w Weight, read func(lo int, rows []byte) error) error
}
