package tokenizer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Write writes t as a Hugging Face tokenizer.json. The bytes depend on t alone, and Read gives t
// back. Files that were read lose what Read leaves to the caller.
func (t *Tokenizer) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	out.WriteString("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n")
	out.WriteString("  \"added_tokens\": [")
	for i, a := range t.added {
		fmt.Fprintf(out, "%s{\"id\": %d, \"content\": %s, \"single_word\": false, "+
			"\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": %t}",
			separator(i, 4), a.id, quote(a.name), a.control)
	}
	out.WriteString("\n  ],\n")
	t.writeSteps(out)
	out.WriteString("  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n" +
		"    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n" +
		"    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n")
	fmt.Fprintf(out, "    \"byte_fallback\": %t,\n    \"ignore_merges\": %t,\n    \"vocab\": {",
		t.pieces != nil, t.wholeWords)
	t.writeVocab(out)
	out.WriteString("\n    },\n    \"merges\": [")
	for i, both := range t.Merges() {
		out.WriteString(separator(i, 6) + quote(both))
	}
	out.WriteString("\n    ]\n  }\n}\n")
	if err := out.Flush(); err != nil { // bufio keeps the first error
		return fmt.Errorf("tokenizer: write: %w", err)
	}
	return nil
}

// byteLevel is the step that turns bytes into characters and back.
const byteLevel = `{"type": "ByteLevel", "add_prefix_space": false, ` +
	`"trim_offsets": true, "use_regex": false}`

// writeSteps writes what is done to a text before and after the model.
func (t *Tokenizer) writeSteps(out *bufio.Writer) {
	if t.pieces == nil {
		out.WriteString("  \"normalizer\": null,\n")
		t.pre.write(out)
		t.writeBegin(out)
		out.WriteString("  \"decoder\": " + byteLevel + ",\n")
		return
	}
	prepend, strip := "", ""
	if t.pieces.prefix {
		prepend = `{"type": "Prepend", "prepend": "▁"}, `
		strip = `, {"type": "Strip", "content": " ", "start": 1, "stop": 0}`
	}
	fmt.Fprintf(out, `  "normalizer": {"type": "Sequence", "normalizers": [%s`+
		`{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},`+"\n"+
		`  "pre_tokenizer": null,`+"\n", prepend)
	t.writeBegin(out)
	fmt.Fprintf(out, `  "decoder": {"type": "Sequence", "decoders": [`+
		`{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, `+
		`{"type": "ByteFallback"}, {"type": "Fuse"}%s]},`+"\n", strip)
}

// writeBegin writes that Hugging Face's tools begin a text with the token that texts begin with,
// where they are not told to leave special tokens out, as they are for a template's text.
func (t *Tokenizer) writeBegin(out *bufio.Writer) {
	id, ok := t.Begins()
	if !ok {
		out.WriteString("  \"post_processor\": null,\n")
		return
	}
	name := quote(t.Token(id))
	part := func(kind, id string, text int) string {
		return fmt.Sprintf(`{"%s": {"id": %s, "type_id": %d}}`, kind, id, text)
	}
	first := part("SpecialToken", name, 0) + ", " + part("Sequence", `"A"`, 0)
	second := part("SpecialToken", name, 1) + ", " + part("Sequence", `"B"`, 1)
	fmt.Fprintf(out, `  "post_processor": {"type": "TemplateProcessing", "single": [%s],`+
		"\n    "+`"pair": [%s, %s],`+"\n    "+`"special_tokens": {%s: {"id": %s, "ids": [%d], `+
		`"tokens": [%s]}}},`+"\n", first, first, second, name, name, id, name)
}

// write writes the pre-tokenizer.
func (p *preTokenizer) write(out *bufio.Writer) {
	out.WriteString("  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [")
	for i, s := range p.stages {
		field := "Regex"
		if s.quoted {
			field = "String"
		}
		fmt.Fprintf(out, "%s{\"type\": \"Split\", \"pattern\": {\"%s\": %s}, "+
			"\"behavior\": \"Isolated\", \"invert\": false}",
			separator(i, 4), field, quote(s.pattern))
	}
	out.WriteString(separator(len(p.stages), 4) + byteLevel + "\n  ]},\n")
}

// writeVocab writes the tokens by id. Hugging Face numbers added tokens that are not in "vocab"
// after it; where theirs are other ids they must be in it.
func (t *Tokenizer) writeVocab(out *bufio.Writer) {
	after := true
	for i, a := range t.added {
		after = after && t.pieces == nil && int(a.id) == len(t.ordinary)+i
	}
	n := 0
	for id, token := range t.tokens {
		switch {
		case t.kinds[id] == plain || t.kinds[id] == fallback:
			token = t.Piece(int32(id))
		case t.kinds[id] == hole || after:
			continue
		}
		fmt.Fprintf(out, "%s%s: %d", separator(n, 6), quote(token), id)
		n++
	}
}

// separator begins element i of a list: a comma after the one before, and a new line.
func separator(i, indent int) string {
	line := "\n      "[:1+indent]
	if i == 0 {
		return line
	}
	return "," + line
}

// quote is s, which is valid UTF-8, as a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(b)
}
