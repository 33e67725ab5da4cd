package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// english is 3.9 MB of word problems.
func english(b *testing.B) string {
	var text strings.Builder
	for line := range strings.Lines(string(openData(b, "gsm8k/train.jsonl"))) {
		var p struct{ Question, Answer string }
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			b.Fatal(err)
		}
		text.WriteString(p.Question + "\n" + p.Answer + "\n")
	}
	return text.String()
}

// benchmarkEncode reports MB/s of one thread, and bytes per token.
func benchmarkEncode(b *testing.B, t *Tokenizer, text string) {
	b.SetBytes(int64(len(text)))
	var ids []int32
	for b.Loop() {
		ids = t.AppendEncode(ids[:0], text)
	}
	b.ReportMetric(float64(len(text))/float64(len(ids)), "bytes/token")
}

func BenchmarkEncodeLlama3(b *testing.B) {
	b.Run("english", func(b *testing.B) { benchmarkEncode(b, llama3(b), english(b)) })
	b.Run("chinese", func(b *testing.B) {
		text := strings.Repeat("那是最好的時代，那是最壞的時代。\n", 4000)
		benchmarkEncode(b, llama3(b), text)
	})
	b.Run("russian", func(b *testing.B) {
		text := strings.Repeat("Это была лучшая пора, это была худшая пора.\n", 2500)
		benchmarkEncode(b, llama3(b), text)
	})
	b.Run("no spaces", func(b *testing.B) {
		benchmarkEncode(b, llama3(b), strings.Repeat("thebestoftimes", 20000))
	})
}

func BenchmarkEncodeHouse(b *testing.B) {
	text := english(b)
	opts := TrainOptions{VocabSize: 4096, Specials: HouseSpecials()}
	t, err := Train(slices.Values([]string{text}), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("english", func(b *testing.B) { benchmarkEncode(b, t, text) })
	b.Run("no cache", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		var ids []int32
		for b.Loop() {
			ids = ids[:0]
			t.pre.each(text, func(word string) { ids = t.mergeWord(ids, word) })
		}
	})
}

func BenchmarkTrain4096(b *testing.B) {
	text := english(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		opts := TrainOptions{VocabSize: 4096, Specials: HouseSpecials()}
		if _, err := Train(slices.Values([]string{text}), opts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadLlama3(b *testing.B) {
	file := string(written(b, llama3(b)))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := Read(strings.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}
