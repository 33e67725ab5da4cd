package task

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Each bad file is answered by one line that says all that is behind it here, parted by |.
func TestBadFiles(t *testing.T) {
	const good = `{"prompt":"p","answer":"a"}` + "\n"
	own := func(fields string) string { return `{"prompt":"x",` + fields + "}" }
	arc := func(labels, key string) string {
		return `{"question":"q","choices":{"text":["a","b"],"label":` + labels + `},"answerKey":"` +
			key + `"}`
	}
	for text, want := range map[string]string{
		good + "{nope}":                         "a.jsonl: line 2|not JSON",
		good + `{"prompt":`:                     "line 2|not JSON",
		good + "\n7":                            "line 3|object|7",
		"null":                                  "line 1|object",
		"[" + good:                              "line 2|end of JSON",
		"[" + good + "] 1":                      "line 2|behind",
		" \n":                                   "no item",
		"[]":                                    "no item",
		good + "{\"prompt\":\"\xff\"}":          "line 2|UTF-8|0xff",
		`{"input":"x","target":"y"}`:            `line 1|input|target|gsm8k|{"prompt","answer"}`,
		own(`"test_list":[],"answer":"x"`):      "Python",
		good + `{"question":"q"}`:               `line 2|format own|"prompt"`,
		`{"prompt":["x"],"answer":"y"}`:         `"prompt" is ["x"], want text`,
		own(`"answer":{}`):                      `"answer"`,
		`{"prompt":" ","answer":"y"}`:           `"prompt"|empty`,
		own(`"answer":"y","score":"bleu"`):      `"bleu"|number math choice exact contains`,
		own(`"answer":"y","score":"number"`):    `number|"y"`,
		own(`"answer":"y","score":"choice"`):    "choices",
		own(`"answer":"y","label":"maths"`):     `"maths"|reasoning`,
		own(`"answer":"w","choices":["y","z"]`): `"w"|"A" "B"`,
		own(`"answer":"y","choices":["y"]`):     "1 options|2 to 10",
		own(`"answer":"y","choices":["y","z"],"score":"exact"`): "choice",
		arc(`["A","B"]`, "C"):                                         `"C"|"A" "B"`,
		arc(`["A"]`, "A"):                                             "2 options and 1 labels",
		`{"question":"q","answer":"#### x"}`:                          "format gsm8k|#### x",
		`{"problem":"q","solution":"x"}`:                              `format math|\boxed{}`,
		good + own(`"answer":"`+strings.Repeat("x", maxDataItem)+`"`): "line 2|1048576",
	} {
		_, err := OpenData(onDisk(map[string]string{"a.jsonl": text}), "a.jsonl", DataOptions{})
		complains(t, text, err, want)
	}
	for name, want := range map[string]string{
		"train_test.jsonl": "train_test.jsonl|train and test",
		"a.parquet":        "a.parquet|duckdb|a.jsonl",
		"a.jsonl.gz":       "a.jsonl.gz|unpacking",
	} {
		_, err := OpenData(onDisk(map[string]string{name: good}), name, DataOptions{})
		complains(t, name, err, want)
	}
	for _, c := range []struct{ one, two, want string }{
		{"d/train.jsonl", "d/more.jsonl", "train.jsonl|more.jsonl|all names"},
		{"d/x/a.parquet", "d/LICENSE", "d/x/a.parquet|duckdb"},
		{"d/README", "d/LICENSE", "d|.jsonl"},
		{"e/a.jsonl", "e/b.jsonl", "d|not exist"},
	} {
		_, err := OpenData(onDisk(map[string]string{c.one: good, c.two: good}), "d", DataOptions{})
		complains(t, c.one, err, c.want)
	}
	_, err := OpenData(onDisk(nil), "d", DataOptions{Format: "csv"})
	complains(t, "format", err, `"csv"|gsm8k math arc`)
}

func complains(t *testing.T, name string, err error, words string) {
	t.Helper()
	if err == nil {
		t.Errorf("%.60q: no error", name)
		return
	}
	for w := range strings.SplitSeq(words, "|") {
		if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %q, want one line that says %q", name, err, w)
		}
	}
}

// FuzzOpenData: any bytes make a task that holds together, or one error of one line.
func FuzzOpenData(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.text))
		f.Add([]byte("[" + s.text + "," + s.text + "]"))
	}
	f.Add([]byte("{"))
	f.Add([]byte("[[[[\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files := fstest.MapFS{"a.jsonl": {Data: data}}
		judge := func(Item, string) float64 { return 1 }
		if d, err := OpenData(files, "a.jsonl", DataOptions{Judge: judge}); (d == nil) == (err == nil) {
			t.Errorf("with a judge: %v, %v", d, err)
		}
		d, err := OpenData(files, "a.jsonl", DataOptions{})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, s := range []Split{Train, Valid, Test} {
			for i := range d.Size(s) {
				it := d.Item(s, i)
				if it.Prompt == "" || it.Answer == "" || judges[it.Check] == nil ||
					it.Worked != "" && d.Score(it, it.Worked) != 1 {
					t.Errorf("%+v", it)
				}
				d.Score(it, string(data))
			}
		}
	})
}
