package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"transformer2/native/bench/randmodel"
)

// pages is where the pages of this benchmark lie in the source.
const pages = "native/bench/browser"

// turn is what a page's run gives.
type turn struct {
	Rate float64 `json:"rate"`
	Text string  `json:"text"`
}

// contest is one weight format, ours and the peer's.
type contest struct {
	name, weights, gguf string
	least               float64
}

var contests = []contest{
	{"decode, 15 M, f32", "f32", "f32", 1},
	{"decode, 15 M, int8", "q8", "q8_0", 2},
}

// decoding compares engines, one thread each, taking turns.
func decoding(b *browser, o options, model *randmodel.Model) ([]figure, error) {
	paths := map[string]string{"/engine.wasm": o.wasm, "/wasm_exec.js": o.wasmExec,
		"/model": model.Dir, "/f32.gguf": model.GGUF["f32"], "/q8_0.gguf": model.GGUF["q8_0"]}
	for _, name := range []string{"ours.html", "ours.js", "ours-worker.js", "wllama.html",
		"wllama.js"} {
		paths["/"+name] = filepath.Join(pages, name)
	}
	_, err := os.Stat(o.peer)
	peer := err == nil
	if peer {
		paths["/wllama"] = o.peer
	}
	server, err := serve(paths)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	var figures []figure
	for _, c := range contests {
		f, err := c.run(b, o, server.URL, model.Prompt, peer)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", c.name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (c contest) run(b *browser, o options, url, prompt string, peer bool) (figure, error) {
	f := figure{Name: c.name, Unit: "tok/s", Want: fmt.Sprintf("≥ %g× wllama", c.least)}
	ours, done, err := ready(b, url+"/ours.html?weights="+c.weights)
	if err != nil {
		return f, err
	}
	defer done()
	var theirs context.Context
	if peer {
		var done context.CancelFunc
		if theirs, done, err = ready(b, url+"/wllama.html?model="+c.gguf+".gguf"); err != nil {
			return f, err
		}
		defer done()
	}
	say("%s: %d rounds of %d tokens", c.name, o.rounds, o.tokens)
	var mine, other, ratios []float64
	same := true
	for round := range o.rounds + 1 { // the first warms both up
		m, err := decodeTurn(ours, o.tokens, randmodel.Question)
		if err != nil {
			return f, err
		}
		p := turn{}
		if peer {
			if p, err = decodeTurn(theirs, o.tokens, prompt); err != nil {
				return f, err
			}
			same = same && m.Text == p.Text
		}
		if round == 0 {
			continue
		}
		mine, other, ratios = append(mine, m.Rate), append(other, p.Rate), append(ratios, m.Rate/p.Rate)
	}
	f.Value, f.Spread = median(mine), spread(mine)
	if !peer {
		f.Remarks = "wllama is not installed: the ratio was not measured"
		return f, nil
	}
	f.Peer, f.Ratio = median(other), median(ratios)
	f.Met = f.Ratio >= c.least
	f.Remarks = fmt.Sprintf("ratio %s", spread2(ratios))
	if same {
		f.Remarks += ", the same text"
	}
	return f, nil
}

// ready opens a page and waits until its model is loaded.
func ready(b *browser, url string) (context.Context, context.CancelFunc, error) {
	ctx, done, err := b.tab(url)
	if err != nil {
		return nil, nil, err
	}
	if _, err := eval[bool](ctx, "window.ready.then(() => true)"); err != nil {
		done()
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	return ctx, done, nil
}

func decodeTurn(ctx context.Context, n int, prompt string) (turn, error) {
	text, err := json.Marshal(prompt)
	if err != nil {
		return turn{}, err
	}
	return eval[turn](ctx, fmt.Sprintf("window.run(%d, %s)", n, text))
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

func spread(x []float64) string {
	return fmt.Sprintf("(%.1f … %.1f)", slices.Min(x), slices.Max(x))
}

func spread2(x []float64) string {
	return fmt.Sprintf("%.2f … %.2f", slices.Min(x), slices.Max(x))
}
