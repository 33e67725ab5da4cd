// Command browser measures the engine in a headless Chromium: decoding against llama.cpp in
// WebAssembly (wllama) on the same weights, and what a visitor waits for on the page.
//
//	make bench-browser
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"transformer2/native/bench/randmodel"
)

func main() {
	var o options
	flag.StringVar(&o.site, "site", "site", "folder that make site wrote")
	flag.StringVar(&o.wasm, "wasm", "bin/engine.wasm", "the engine's module")
	flag.StringVar(&o.wasmExec, "wasm-exec", "", "Go's wasm_exec.js")
	flag.StringVar(&o.peer, "peer", "native/bench/browser/node_modules/@wllama/wllama",
		"wllama's package; where it is missing the ratios are not measured")
	flag.IntVar(&o.rounds, "rounds", 5, "turns of each; engines take turns within a round")
	flag.IntVar(&o.tokens, "tokens", 128, "to decode in a turn")
	flag.BoolVar(&o.json, "json", false, "one JSON object a figure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	figures, err := measure(ctx, o)
	for _, f := range figures {
		f.print(o.json)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-browser:", err)
		os.Exit(1)
	}
}

type options struct {
	site, wasm, wasmExec, peer string
	rounds, tokens             int
	json                       bool
}

// figure is one measured line.
type figure struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Spread  string  `json:"spread"`          // over the turns
	Peer    float64 `json:"peer,omitempty"`  // the same of wllama
	Ratio   float64 `json:"ratio,omitempty"` // median of the rounds' own ratios
	Want    string  `json:"want"`
	Met     bool    `json:"met"`
	Remarks string  `json:"remarks,omitempty"`
}

func (f figure) print(asJSON bool) {
	if asJSON {
		json.NewEncoder(os.Stdout).Encode(f)
		return
	}
	verdict := "met"
	if !f.Met {
		verdict = "NOT MET"
	}
	line := fmt.Sprintf("%-46s %9.1f %-8s %-20s", f.Name, f.Value, f.Unit, f.Spread)
	if f.Ratio > 0 {
		line += fmt.Sprintf(" wllama %7.1f  ratio %.2f ", f.Peer, f.Ratio)
	}
	fmt.Printf("%s  want %s: %s  %s\n", line, f.Want, verdict, f.Remarks)
}

// measure takes all figures; those that were taken come back with an error too.
func measure(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "t2-bench-browser")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	say("a Llama of 15 M random weights, as ours and as GGUF")
	model, err := randmodel.Make(ctx, dir, randmodel.Of15M, 1, "f32", "q8_0")
	if err != nil {
		return nil, err
	}
	b, err := openBrowser(ctx, filepath.Join(dir, "profile"))
	if err != nil {
		return nil, err
	}
	defer b.close()
	figures, err := decoding(b, o, model)
	if err != nil {
		return figures, err
	}
	visit, err := visiting(b, o)
	return append(figures, visit...), err
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }
