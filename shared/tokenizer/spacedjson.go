package tokenizer

import (
	"encoding/json"
	"encoding/json/jsontext"
	"io"
	"strings"
)

// spacedJSON writes JSON with one space after every comma and colon and no other white space, its
// keys in the order in which they came; false where text is not one JSON value.
func spacedJSON(text string) (string, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	w := &jsonWriter{d: d}
	if !w.value(maxJSONDepth) {
		return "", false
	}
	if _, err := d.Token(); err != io.EOF {
		return "", false
	}
	return w.out.String(), true
}

// maxJSONDepth bounds lists within each other.
const maxJSONDepth = 64

type jsonWriter struct {
	d   *json.Decoder
	out strings.Builder
}

func (w *jsonWriter) value(depth int) bool {
	token, err := w.d.Token()
	if err != nil || depth == 0 {
		return false
	}
	switch v := token.(type) {
	case json.Delim:
		if v != '{' && v != '[' {
			return false
		}
		w.out.WriteRune(rune(v))
		if !w.elements(v == '{', depth) {
			return false
		}
		end, err := w.d.Token()
		if err != nil {
			return false
		}
		w.out.WriteString(end.(json.Delim).String())
	case string:
		w.out.WriteString(spacedQuote(v))
	case json.Number:
		w.out.WriteString(v.String())
	case bool:
		w.out.WriteString(map[bool]string{true: "true", false: "false"}[v])
	default:
		w.out.WriteString("null")
	}
	return true
}

func (w *jsonWriter) elements(named bool, depth int) bool {
	for i := 0; w.d.More(); i++ {
		if i > 0 {
			w.out.WriteString(", ")
		}
		if named {
			key, err := w.d.Token()
			if err != nil {
				return false
			}
			w.out.WriteString(spacedQuote(key.(string)) + ": ")
		}
		if !w.value(depth - 1) {
			return false
		}
	}
	return true
}

// spacedQuote is s as a JSON string with no more escapes than JSON asks for.
func spacedQuote(s string) string {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\ufffd"))
	if err != nil {
		panic(err) // valid UTF-8 always has a JSON form
	}
	return string(b)
}
