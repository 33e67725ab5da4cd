package familytest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/tokenizer"
)

// prose is what the small vocabularies are made of.
const prose = `The harbour wakes before the town. Nets are hauled, crates are counted, and the ` +
	`gulls argue over what is left. Ten boats went out, three came back with nothing, and the other ` +
	`seven shared what they had. Somebody asks how many baskets there are; somebody answers that ` +
	`there are twelve, then counts again and says that there are eleven. A child writes the number ` +
	`on the wall with a piece of chalk. By noon the ice has melted, the market is empty and the ` +
	`water is the colour of tin. At night the lamps along the pier are lit one after another, and ` +
	`whoever walks there hears the ropes creak, the planks answer and the tide turn. Nobody in the ` +
	`town remembers who built the lighthouse, or why the stairs go round to the left. `

// pieces is a SentencePiece vocabulary: the control tokens, with Mistral's third version's where
// they are asked for, the bytes, and what merges.
func pieces(third bool) []tokenizer.Entry {
	entries := []tokenizer.Entry{{Text: "<unk>", Kind: tokenizer.EntryUnknown},
		{Text: tokenizer.BeginPieces, Kind: tokenizer.EntryControl},
		{Text: tokenizer.EndPieces, Kind: tokenizer.EntryControl}}
	if third {
		for _, name := range []string{"[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
			"[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"} {
			entries = append(entries, tokenizer.Entry{Text: name, Kind: tokenizer.EntryControl})
		}
	}
	for b := range 256 {
		entries = append(entries,
			tokenizer.Entry{Text: fmt.Sprintf("<0x%02X>", b), Kind: tokenizer.EntryByte})
	}
	for i, text := range strings.Fields("▁t he ▁a in re er ▁the an at ou ▁w on nd ▁b ▁s ▁and en " +
		"is ▁c th es ▁h ar it ▁o or ed ▁n ing ▁there") {
		entries = append(entries,
			tokenizer.Entry{Text: text, Kind: tokenizer.EntryNormal, Score: -float32(i)})
	}
	for i, c := range "▁etaoinsrhldcumfpgwybvkxjqz0123456789.,?!:;'-()[]{}=+*/<>\"_" {
		entries = append(entries, tokenizer.Entry{Text: string(c), Kind: tokenizer.EntryNormal,
			Score: -float32(100 + i)})
	}
	return entries
}

// writeModel writes a tokenizer.model.
func writeModel(dir string, entries []tokenizer.Entry) error {
	var out []byte
	for _, e := range entries {
		piece := message(1, []byte(e.Text))
		piece = binary.LittleEndian.AppendUint32(append(piece, 2<<3|5), math.Float32bits(e.Score))
		piece = binary.AppendUvarint(append(piece, 3<<3), uint64(e.Kind))
		out = append(out, message(1, piece)...)
	}
	out = append(out, message(2, []byte{3 << 3, 2})...)                                        // BPE
	out = append(out, message(3, append(message(1, []byte("identity")), 3<<3, 1, 4<<3, 0))...) // as is
	return os.WriteFile(filepath.Join(dir, "tokenizer.model"), out, 0o666)
}

func message(field uint64, data []byte) []byte {
	out := binary.AppendUvarint(nil, field<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(data))), data...)
}

// writePieces writes a tokenizer.json of pieces with Mistral's third version's control tokens.
func writePieces(dir string) error {
	t, err := tokenizer.NewSentencePiece(pieces(true), true)
	if err != nil {
		return err
	}
	return checkpoint.AtomicWrite(filepath.Join(dir, "tokenizer.json"), t.Write)
}
