package tokenizer

import "fmt"

// A tokenizer.json writes tokens in GPT-2's alphabet of one visible character a byte: the bytes
// that are visible in Latin-1 stand for themselves, the other 68 are U+0100 onwards in order.
// So a space reads Ġ and a line feed Ċ.
var (
	charOfByte [256]rune
	byteOfChar = map[rune]byte{}
)

func init() {
	hidden := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if !(r >= '!' && r <= '~' || r >= 0xa1 && r <= 0xac || r >= 0xae && r <= 0xff) {
			r = hidden
			hidden++
		}
		charOfByte[b] = r
		byteOfChar[r] = byte(b)
	}
}

// toChars writes raw bytes in that alphabet.
func toChars(raw string) string {
	out := make([]rune, len(raw))
	for i := range len(raw) {
		out[i] = charOfByte[raw[i]]
	}
	return string(out)
}

// fromChars reads raw bytes from that alphabet.
func fromChars(chars string) (string, error) {
	out := make([]byte, 0, len(chars))
	for _, r := range chars {
		b, ok := byteOfChar[r]
		if !ok {
			return "", fmt.Errorf("token %.40q holds %q, which stands for no byte", chars, r)
		}
		out = append(out, b)
	}
	return string(out), nil
}
