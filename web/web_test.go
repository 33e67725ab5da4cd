package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// built is a site of a small input.
func built(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := Build(func(name string, data []byte) error {
		files[name] = slices.Clone(data)
		return nil
	}, Input{Engine: bytes.Repeat([]byte("engine"), 9999), WasmExec: []byte("// exec"),
		Models: []Model{{Name: "m", Files: map[string][]byte{"config.json": []byte("{}"),
			"experts/a.safetensors": []byte("z")}}}, Precomputed: []byte(`{"version":1,"runs":[]}`)})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuildIsDeterministic(t *testing.T) {
	if a, b := built(t), built(t); !maps.EqualFunc(a, b, bytes.Equal) {
		t.Error("two builds of the same input differ")
	}
}

// Every file that the manifest names is there and is what it says.
func TestManifest(t *testing.T) {
	files := built(t)
	var m manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(slices.Clone(m.Models["m"]), m.Engine) {
		data, ok := files[f.Path]
		sum := sha256.Sum256(data)
		if !ok || len(data) != f.Bytes || hex.EncodeToString(sum[:]) != f.SHA256 {
			t.Errorf("%s: %d bytes in the site, the manifest says %d", f.Path, len(data), f.Bytes)
		}
		if !strings.Contains(f.Path, f.SHA256[:16]) {
			t.Errorf("%s is not named by its bytes", f.Path)
		}
	}
	if len(m.Models["m"]) != 2 || m.Models["m"][1].Name != "experts/a.safetensors" {
		t.Errorf("files of the model: %v", m.Models["m"])
	}
}

// The page may be served from any path: no address in it begins with a slash, and all are there.
func TestAddressesAreRelative(t *testing.T) {
	files := built(t)
	html := string(files["index.html"])
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#][^"]*)"`).FindAllStringSubmatch(html, -1) {
		if _, ok := files[m[1]]; !ok {
			t.Errorf("index.html asks for %q, which is not in the site", m[1])
		}
	}
	modules := regexp.MustCompile(`from "(\./[^"]+)"`)
	for name, data := range files {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, m := range modules.FindAllStringSubmatch(string(data), -1) {
			if _, ok := files[path.Join(path.Dir(name), m[1])]; !ok {
				t.Errorf("%s imports %q, which is not in the site", name, m[1])
			}
		}
	}
	if !bytes.Contains(files["sw.js"], []byte(`"index.html"`)) || bytes.Contains(files["sw.js"], []byte("__FILES__")) {
		t.Error("the service worker does not list the page")
	}
}

func TestPolicy(t *testing.T) {
	html := string(built(t)["index.html"])
	if strings.Contains(policy, "unsafe-inline") || !strings.Contains(html, "Content-Security-Policy") {
		t.Error("the page has no strict policy")
	}
	if m := regexp.MustCompile(`\s(style|on[a-z]+)="`).FindString(html); m != "" {
		t.Errorf("an attribute that the policy forbids: %s", m)
	}
	if regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(html) || strings.Contains(html, "<style") {
		t.Error("a script or a style within the page")
	}
}

// Text reaches the page as text only.
func TestNoHTMLFromText(t *testing.T) {
	for name, data := range scripts(t) {
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
			if strings.Contains(data, bad) {
				t.Errorf("%s uses %s", name, bad)
			}
		}
	}
}

func scripts(t *testing.T) map[string]string {
	t.Helper()
	names, err := fs.Glob(embedded, "assets/*.js")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		data, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

var holes = regexp.MustCompile(`\{\w+\}`)

func TestLanguagesSayTheSame(t *testing.T) {
	english, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range languages[1:] {
		other, err := readWords(lang)
		if err != nil {
			t.Fatal(err)
		}
		for key, text := range english {
			translated, ok := other[key]
			if !ok || translated == "" {
				t.Errorf("%s lacks %q", lang, key)
				continue
			}
			a, b := holes.FindAllString(text, -1), holes.FindAllString(translated, -1)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(slices.Compact(a), slices.Compact(b)) {
				t.Errorf("%s: %q fills in %v, want %v", lang, key, b, a)
			}
		}
		for key := range other {
			if _, ok := english[key]; !ok {
				t.Errorf("%s has %q, which English lacks", lang, key)
			}
		}
	}
}

// Every key that the page or a script uses is there, and every key is used.
func TestKeys(t *testing.T) {
	words, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"description": true}
	for _, m := range regexp.MustCompile(`data-(?:t|label)="([^"]+)"`).FindAllStringSubmatch(string(built(t)["index.html"]), -1) {
		used[m[1]] = true
	}
	var families []string // keys that are put together: t("label." + x)
	all := ""
	for _, text := range scripts(t) {
		all += text
		for _, m := range regexp.MustCompile(`\bt\("([\w.]+)"( \+)?`).FindAllStringSubmatch(text, -1) {
			if m[2] != "" {
				families = append(families, m[1])
			} else {
				used[m[1]] = true
			}
		}
	}
	for key := range used {
		if _, ok := words[key]; !ok {
			t.Errorf("%q is used, but has no words", key)
		}
	}
	for key := range words {
		family := slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(key, f) })
		if !used[key] && !family && !strings.Contains(all, `"`+key+`"`) {
			t.Errorf("%q is never used", key)
		}
	}
}

// A lesson's steps set only what the page knows, in both languages alike.
func TestLessons(t *testing.T) {
	type lessons struct {
		Lessons []struct {
			ID    string
			Steps []struct {
				Text    string
				Predict *struct {
					Options []string
					Answer  int
				}
				State map[string]string
				Show  string
				Do    string
			}
		}
	}
	var each []lessons
	for _, lang := range languages {
		data, err := embedded.ReadFile("content/lessons." + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var l lessons
		if err := json.Unmarshal(data, &l); err != nil {
			t.Fatalf("%s: %v", lang, err)
		}
		each = append(each, l)
	}
	known := scripts(t)["assets/state.js"]
	for i, lesson := range each[0].Lessons {
		other := each[1].Lessons[i]
		if lesson.ID != other.ID || len(lesson.Steps) != len(other.Steps) {
			t.Errorf("lesson %s differs between the languages", lesson.ID)
			continue
		}
		for n, step := range lesson.Steps {
			if !maps.Equal(step.State, other.Steps[n].State) || step.Show != other.Steps[n].Show {
				t.Errorf("%s, step %d: the languages set different states", lesson.ID, n+1)
			}
			if !slices.Contains(views, step.Show) || step.Text == "" {
				t.Errorf("%s, step %d shows %q", lesson.ID, n+1, step.Show)
			}
			if p := step.Predict; p != nil && (p.Answer < 0 || p.Answer >= len(p.Options)) {
				t.Errorf("%s, step %d: answer %d of %d", lesson.ID, n+1, p.Answer, len(p.Options))
			}
			for key := range step.State {
				if !regexp.MustCompile(`\b` + key + `: "`).MatchString(known) {
					t.Errorf("%s, step %d sets %q, which the page does not know", lesson.ID, n+1, key)
				}
			}
		}
	}
}
