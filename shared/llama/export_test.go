package llama

// SetReadPart sets how many numbers of a weight are read back at once, and gives how many were.
func SetReadPart(n int) int {
	before := readPart
	readPart = n
	return before
}
