package task

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// onDisk is files by name.
func onDisk(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// read reads one file of a name that says test, so that all its items are in one split.
func read(t *testing.T, text string) []Item {
	t.Helper()
	d, err := OpenData(onDisk(map[string]string{"test.jsonl": text}), "test.jsonl", DataOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d.splits[Test]
}

// samples are an item of each format, as it is published.
var samples = map[string]struct {
	text, format, prompt, answer, worked, right, wrong string
	check                                              Check
}{
	"gsm8k": {
		text: `{"question":"How many?","answer":"48/2 = <<48/2=24>>24.\n#### 1,024"}`, format: "gsm8k",
		prompt: "How many?", answer: "1024", worked: "48/2 = 24.\n#### 1,024", check: CheckNumber,
		right: "So it is 1024.", wrong: "So it is -1024."},
	"math": {
		text: `{"problem":"Solve $2x=1$.","solution":"Halve: $\\boxed{\\frac{1}{2}}$.",` +
			`"level":"Level 1","type":"Algebra"}`, format: "math",
		prompt: "Solve $2x=1$.", answer: `\frac{1}{2}`, worked: `Halve: $\boxed{\frac{1}{2}}$.`,
		check: CheckMath, right: `\boxed{0.5}`, wrong: `\boxed{5}`},
	"math-500": {
		text:   `{"problem":"P","solution":"thus $\\boxed{7}$","answer":"7","subject":"Algebra"}`,
		format: "math", prompt: "P", answer: "7", worked: `thus $\boxed{7}$`, check: CheckMath,
		right: "The answer is: 7", wrong: "7"},
	"math with an answer": {
		text: `{"question":"P","answer":"It is odd. The answer is: (3,4]"}`, format: "math",
		prompt: "P", answer: "(3,4]", worked: "It is odd. The answer is: (3,4]", check: CheckMath,
		right: `$\boxed{\left( 3, 4 \right]}$`, wrong: `$\boxed{[3,4]}$`},
	"arc": {
		text: `{"id":"1","question":{"stem":"Which?","choices":[{"text":"fur","label":"1"},` +
			`{"text":"scales","label":"2"}]},"answerKey":"2"}`, format: "arc",
		prompt: "Which?\n\nA. fur\nB. scales", answer: "B", worked: "The answer is (B).",
		check: CheckChoice, right: "A fish has scales. The answer is (B).", wrong: "(A)"},
	"arc of the hub": {
		text: `{"id":"1","question":"Which?","choices":{"text":["fur","scales","wool"],` +
			`"label":["A","B","C"]},"answerKey":"C"}`, format: "arc",
		prompt: "Which?\n\nA. fur\nB. scales\nC. wool", answer: "C", worked: "The answer is (C).",
		check: CheckChoice, right: "Answer: C", wrong: "Answer: D"},
	"arc as an instruction": {
		text: `{"instruction":"Please choose the correct answer to the question: Which?\n\nAnswer1: fur ` +
			`Answer2: scales\n\nAnswer format: answer1/answer2","input":"","output":"the correct ` +
			`answer is answer1","answer":"answer1"}`, format: "arc",
		prompt: "Which?\n\nA. fur\nB. scales", answer: "A", worked: "The answer is (A).",
		check: CheckChoice, right: "A", wrong: "B"},
	"mbpp": {
		text:   `{"task_id":2,"text":"Add.","code":"def f(a):\r\n  return a","test_list":["assert f(1)"]}`,
		format: "mbpp", prompt: "Add.\n```python\nassert f(1)\n```", check: CheckProgram,
		answer: "def f(a):\r\n  return a", worked: "```python\ndef f(a):\r\n  return a\n```"},
	"mbpp of EvalPlus": {
		text: `{"prompt":"\"\"\"\nAdd.\nassert f(1)\n\"\"\"\n","entry_point":"f",` +
			`"canonical_solution":"\nx = 1\n","plus_input":[[-Infinity]]}`,
		format: "mbpp", prompt: "Add.\n```python\nassert f(1)\n```", check: CheckProgram,
		answer: "\nx = 1\n", worked: "```python\nx = 1\n```"},
	"humaneval": {
		text: `{"prompt":"def f(a):\n","entry_point":"f","canonical_solution":"  return a\n",` +
			`"test":"check(f)"}`, format: "humaneval", check: CheckProgram,
		prompt: "Write this function, its head included.\n```python\ndef f(a):\n```",
		answer: "  return a\n", worked: "```python\ndef f(a):\n  return a\n```"},
	"own number": {text: `{"prompt":"1+1?","answer":2}`, format: "own", prompt: "1+1?", answer: "2",
		worked: "2", check: CheckNumber, right: "It is $2.00", wrong: "12"},
	"own text": {text: `{"prompt":"Capital?","answer":"Paris","worked":"paris."}`, format: "own",
		prompt: "Capital?", answer: "Paris", worked: "paris.", check: CheckExact, right: " “Paris” ",
		wrong: "Paris, France"},
	"own part": {text: `{"prompt":"Capital?","answer":"New  York","score":"contains"}`, format: "own",
		prompt: "Capital?", answer: "New  York", check: CheckContains,
		right: "In New York it is.", wrong: "new york"},
	"own formula": {text: `{"prompt":"Root?","answer":"\\sqrt2","score":"math"}`, format: "own",
		prompt: "Root?", answer: `\sqrt2`, worked: `\boxed{\sqrt2}`, check: CheckMath,
		right: `\boxed{\sqrt{2}}`, wrong: `\boxed{2}`},
	"own choice": {text: `{"prompt":"Which?","answer":"scales","choices":["fur","scales"]}`,
		format: "own", prompt: "Which?\n\nA. fur\nB. scales", answer: "B",
		worked: "The answer is (B).", check: CheckChoice, right: "B.", wrong: "scales"},
}

func TestFormats(t *testing.T) {
	for name, s := range samples {
		var o DataOptions
		if s.check == CheckProgram {
			s.right, s.wrong = s.worked, s.prompt
			o.Judge = func(it Item, output string) float64 {
				if output == it.Worked && bytes.HasPrefix(it.Source, []byte("{")) {
					return 1
				}
				return 0
			}
		}
		d, err := OpenData(onDisk(map[string]string{"a_test.json": s.text}), "a_test.json", o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Size(Test) != 1 || d.Format() != s.format || d.Name() != s.format+":a_test.json" {
			t.Fatalf("%s: %s has %d items, left out %v", name, d.Name(), d.Size(Test), d.LeftOut())
		}
		it := d.Item(Test, 0)
		if it.Prompt != s.prompt || it.Answer != s.answer || it.Worked != s.worked ||
			it.Check != s.check || it.Task != d.Name() || it.Label != d.Label() {
			t.Errorf("%s: %+v", name, it)
		}
		if d.Score(it, s.right) != 1 || d.Score(it, s.wrong) != 0 || d.Score(it, "") != 0 {
			t.Errorf("%s: %q scores %v, %q scores %v", name, s.right, d.Score(it, s.right), s.wrong,
				d.Score(it, s.wrong))
		}
	}
}

// One object a line, one behind the other, in a list, packed, behind a byte order mark: the same.
func TestLayouts(t *testing.T) {
	one, two := `{"prompt":"p","answer":"a"}`, `{"prompt":"q","answer":"b"}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, one+"\n"+two)
	z.Close()
	for name, text := range map[string]string{"test.jsonl": one + "\n\n" + two + "\r\n",
		"test.json": " [" + one + ",\n" + two + "]\n", "test2.json": one + two,
		"test.jsonl.gz": packed.String(), "bom_test.jsonl": "\xef\xbb\xbf" + one + "\n" + two} {
		d, err := OpenData(onDisk(map[string]string{name: text}), name, DataOptions{Format: "own"})
		if err != nil || d.Size(Test) != 2 || d.Item(Test, 1).Answer != "b" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwnFields(t *testing.T) {
	it := read(t, `{"prompt":"p","answer":true,"system":"s","label":"code","more":[1]}`)[0]
	if it.System != "s" || it.Label != LabelCode || it.Answer != "true" {
		t.Errorf("%+v", it)
	}
	it = read(t, `{"prompt":"p","answer":"B","choices":["x","y"],"worked":"y, so (B)"}`)[0]
	if it.Worked != "y, so (B)" || it.System == "" {
		t.Errorf("%+v", it)
	}
}

// sums writes n questions in the own format.
func sums(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "{\"prompt\":\"What is %d and %d?\",\"answer\":%d}\n", i, i, 2*i)
	}
	return b.String()
}

func TestSplitsByName(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		open  string
		want  [3]int
	}{
		"three files": {map[string]string{"d/train.jsonl": sums(0, 50), "d/dev.jsonl": sums(50, 60),
			"d/test.jsonl": sums(60, 80), "d/README.md": "x"}, "d", [3]int{50, 10, 20}},
		"folders": {map[string]string{"d/train/a.json": sums(0, 2), "d/train/b.json": sums(2, 4),
			"d/validation/a.json": sums(4, 5), "d/test/a.json": sums(5, 8)}, "d", [3]int{4, 1, 3}},
		"a folder":       {map[string]string{"d/test/x/a.json": sums(0, 3)}, "d/test", [3]int{0, 0, 3}},
		"inner is right": {map[string]string{"test/train.json": sums(0, 1)}, "test", [3]int{1, 0, 0}},
		"a file": {map[string]string{"ARC-Easy-Test.jsonl": sums(0, 9)}, "ARC-Easy-Test.jsonl",
			[3]int{0, 0, 9}},
		"shards": {map[string]string{"valid-00000-of-00001.jsonl": sums(0, 9)},
			"valid-00000-of-00001.jsonl", [3]int{0, 9, 0}},
		"test above": {map[string]string{"test/trained.jsonl": sums(0, 100)}, "test/trained.jsonl",
			[3]int{76, 16, 8}},
	} {
		d, err := OpenData(onDisk(c.files), c.open, DataOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := [3]int{d.Size(Train), d.Size(Valid), d.Size(Test)}; got != c.want || d.LeftOut() != nil {
			t.Errorf("%s: %v items, want %v; left out %v", name, got, c.want, d.LeftOut())
		}
	}
}

// Without names the hash splits, and a question stays where it is when the file grows or is renamed.
func TestSplitsByHash(t *testing.T) {
	where := func(name, text string) (map[string]Split, *Data) {
		d, err := OpenData(onDisk(map[string]string{name: text}), name, DataOptions{})
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]Split{}
		for _, s := range []Split{Train, Valid, Test} {
			for i := range d.Size(s) {
				it := d.Item(s, i)
				if _, twice := in[it.Prompt]; twice || it.Split != s || it.Index != i {
					t.Fatalf("item %d of %v: %+v", i, s, it)
				}
				in[it.Prompt] = s
			}
		}
		return in, d
	}
	small, _ := where("a.jsonl", sums(0, 300))
	big, d := where("b.json", sums(0, 2000))
	for prompt, s := range small {
		if big[prompt] != s {
			t.Errorf("%s moved from %v to %v", prompt, s, big[prompt])
		}
	}
	for _, s := range []Split{Valid, Test} {
		if n := d.Size(s); n < 150 || n > 250 {
			t.Errorf("%d of 2000 in %v, want about a tenth", n, s)
		}
	}
	// Train files alone give a tenth to Valid, the same that stays there when a test file comes.
	_, alone := where("train.jsonl", sums(0, 300))
	if v := alone.Size(Valid); v == 0 || v > 60 || alone.Size(Test) != 0 {
		t.Errorf("%d of 300 valid, %d test", v, alone.Size(Test))
	}
}

func TestNoQuestionIsInTwoSplits(t *testing.T) {
	d, err := OpenData(onDisk(map[string]string{
		"d/train.jsonl": `{"prompt":"one","answer":"1"}{"prompt":"two","answer":"2"}` +
			`{"prompt":"two","answer":"2"}{"prompt":"two","answer":"2","worked":"it is 2"}` +
			`{"prompt":"three","answer":"3"}`,
		"d/valid.jsonl": `{"prompt":"ONE ","answer":"1"}{"prompt":"four","answer":"4"}`,
		"d/test.jsonl":  `{"prompt":"one","answer":"1"}{"prompt":"Three","answer":"3"}`}), "d", DataOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Size(Train) != 2 || d.Size(Valid) != 1 || d.Size(Test) != 2 {
		t.Errorf("%d train, %d valid, %d test", d.Size(Train), d.Size(Valid), d.Size(Test))
	}
	for _, want := range []string{
		"1 item left out: in valid, but asked in test too (first: d/valid.jsonl: line 1)",
		"2 items left out: in train, but asked in test too (first: d/train.jsonl: line 1)",
		"1 item left out: asked twice in train (first: d/train.jsonl: line 1)"} {
		if !strings.Contains(fmt.Sprint(d.LeftOut()), want) {
			t.Errorf("left out %v, want %s", d.LeftOut(), want)
		}
	}
}

// An answer of the file that its own judge finds wrong would teach or measure nonsense.
func TestWorkedAnswersAreJudged(t *testing.T) {
	d, err := OpenData(onDisk(map[string]string{"test.jsonl": `{"prompt":"p","answer":5,"worked":"5"}
{"prompt":"q","answer":5,"worked":"it is 6"}`}), "test.jsonl", DataOptions{})
	if err != nil || d.Size(Test) != 1 || len(d.LeftOut()) != 1 ||
		d.LeftOut()[0].First != "test.jsonl: line 2" {
		t.Errorf("%v, %v", d.LeftOut(), err)
	}
}

func TestKeepAndLimit(t *testing.T) {
	d, err := OpenData(onDisk(map[string]string{"a.jsonl": sums(0, 200)}), "a.jsonl", DataOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := json.Marshal(d)
	before := d.Size(Train)
	d.Keep("odd", func(it Item) bool { return strings.HasSuffix(it.Prompt, "2?") })
	for i := range d.Size(Train) {
		if it := d.Item(Train, i); it.Index != i || !strings.HasSuffix(it.Prompt, "2?") {
			t.Errorf("%+v", it)
		}
	}
	if d.Size(Train) == 0 || d.Size(Train) > before/5 || d.LeftOut()[0].Count < 160 {
		t.Errorf("%d of %d kept, left out %v", d.Size(Train), before, d.LeftOut())
	}
	some, _ := json.Marshal(d)
	d.Limit(9)
	short, _ := json.Marshal(d)
	if bytes.Equal(whole, some) || bytes.Equal(some, short) || d.MaxTokens() != 9 {
		t.Errorf("another training is written alike: %s %s %s", whole, some, short)
	}
}

func TestSums(t *testing.T) {
	files := map[string]string{"d/a_train.jsonl": sums(0, 1), "d/b_train.jsonl": sums(1, 2)}
	for name, want := range map[string]string{ // of sha256sum d/a_train.jsonl, sha256sum d/* | sha256sum
		"d/a_train.jsonl": "21a3979276f0cbe9765e7538fc0266e4e1387d75de53c38a7d59297da4aeb644",
		"d":               "af2cdc1ea8c80f0d0b0ffcf647331f3bc5ca8adda144ff757bb0524de64f0d0f"} {
		d, err := OpenData(onDisk(files), name, DataOptions{})
		if err != nil || d.Sum() != want {
			t.Errorf("%s: %v, %v", name, d.Sum(), err)
		}
	}
}

func TestEmptySplitsAreRefused(t *testing.T) {
	d, err := OpenData(onDisk(map[string]string{"test.jsonl": sums(0, 3)}), "test.jsonl", DataOptions{})
	if err != nil {
		t.Fatal(err)
	}
	complains(t, "train", d.Filled(Train), "own:test.jsonl|no train items|test 3")
	if err := d.Filled(Test); err != nil {
		t.Error(err)
	}
}

func TestPurpose(t *testing.T) {
	for name, want := range map[string]string{"gsm8k:x": LabelMath, "arc:x": LabelReasoning,
		"math:x": LabelMath, "math": "math", "math-hard": "math-hard", "own:x": "own:x", "x:y": "x:y"} {
		if got := Purpose(name); got != want {
			t.Errorf("%s is for %s, want %s", name, got, want)
		}
	}
}

// dataDir holds published sets, beside the project.
const dataDir = "../../../shared/data"

// Every published answer is right by its own judge.
func TestPublishedSets(t *testing.T) {
	if _, err := os.Stat(dataDir); err != nil {
		t.Skip("published sets are absent")
	}
	for _, c := range []struct {
		name string
		want [3]int
		left int
	}{
		{"gsm8k", [3]int{6758, 715, 1319}, 0},
		{"math/math500.jsonl", [3]int{408, 44, 48}, 0},
		{"arc/ARC-Easy", [3]int{2033, 216, 2376}, 2}, // two train questions are test questions, too
		{"arc/ARC-Challenge", [3]int{989, 129, 1172}, 1},
	} {
		d, err := OpenData(os.DirFS(filepath.FromSlash(dataDir)), c.name, DataOptions{})
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, l := range d.LeftOut() {
			left += l.Count
		}
		if got := [3]int{d.Size(Train), d.Size(Valid), d.Size(Test)}; got != c.want || left != c.left {
			t.Errorf("%s: %v items, want %v; left out %v", c.name, got, c.want, d.LeftOut())
		}
		for _, s := range []Split{Train, Valid, Test} {
			for i := range d.Size(s) {
				if it := d.Item(s, i); d.Score(it, it.Worked) != 1 || d.Score(it, "no idea") != 0 {
					t.Errorf("%s, %v %d: the published answer scores %v", c.name, s, i,
						d.Score(it, it.Worked))
				}
			}
		}
	}
}
