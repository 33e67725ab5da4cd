// Command native compares this program with llama.cpp on the CPU: the same GGUFs of random weights, the
// same number of threads, in turns.
//
//	make bench-native
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"transformer2/native/bench"
)

func main() {
	var env bench.NativeEnv
	var asJSON bool
	list := func(names *[]string) func(string) error {
		return func(s string) error { *names = strings.Split(s, ","); return nil }
	}
	flag.StringVar(&env.Packages, "peer", bench.LlamaCppPackages,
		"npm's folder with llama.cpp's libraries; where it is missing there are no ratios")
	flag.IntVar(&env.Device.Threads, "threads", 2, "the most threads; one is measured too")
	flag.BoolVar(&env.Quick, "quick", false, "short runs and rough numbers")
	flag.BoolVar(&env.Check, "check", false, "whether the engines agree, in place of how fast they are")
	flag.BoolVar(&asJSON, "json", false, "one JSON object a figure")
	flag.Func("shapes", "only these of 15M,42M,110M", list(&env.Shapes))
	flag.Func("formats", "only these of f32,bf16,f16,q8_0,q4_0", list(&env.Formats))
	flag.Func("parts", "only these of "+strings.Join(bench.NativeParts(), ","), list(&env.Parts))
	t2 := flag.String("t2", "bin/t2", "the program, for what it takes as a process of its own")
	flag.Parse()
	env.Command = []string{*t2}
	env.Progress = func(what string) { fmt.Fprintln(os.Stderr, "· "+what) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !asJSON {
		fmt.Printf(bench.Row+"\n", "figure", "value", "", "ratio (its range)", "want", "against")
	}
	err := bench.Native(ctx, env, func(f bench.Figure) {
		if asJSON {
			json.NewEncoder(os.Stdout).Encode(f)
			return
		}
		c := f.Cells()
		if met, judged := f.Met(); judged && !met {
			c[4] += " NOT MET"
		}
		fmt.Printf(bench.Row+"\n", c[0], c[1], c[2], c[3], c[4], c[5])
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-native:", err)
		os.Exit(1)
	}
}
