// Command asm writes the amd64 kernels of package x86: assembly and Go stubs, with avo.
//
// It is a module of its own, so that the program does not depend on avo. Run it from here:
//
//	go run .          write ../x86/*_amd64.s and their stubs
//	go run . -check   write nothing; fail if a committed file differs from what would be written
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// families lists the files: name_amd64.s holds the code, name_amd64.go the declarations.
var families = []struct {
	name string
	emit func(g *gen)
}{
	{"gemm", emitGemm},
	{"vector", emitVector},
	{"exp", emitExp},
	{"rows", emitRows},
	{"panel", emitPanel},
	{"q8", emitQ8},
	{"gemm64", emitGemm64},
	{"f64", emitF64},
	{"pack", emitPack},
	{"peak", emitPeak},
}

func main() {
	dir := flag.String("dir", "../x86", "folder of the generated files")
	check := flag.Bool("check", false, "compare with the files that are there, write nothing")
	flag.Parse()
	for _, f := range families {
		if err := generate(*dir, f.name, f.emit, *check); err != nil {
			fmt.Fprintf(os.Stderr, "asm: %s: %v\n", f.name, err)
			os.Exit(1)
		}
	}
}

// generate runs one family and writes or compares its two files.
func generate(dir, name string, emit func(*gen), check bool) error {
	g := &gen{Context: build.NewContext()}
	emit(g)
	file, err := g.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "kernels/cpu/asm", Pkg: "x86"}
	for suffix, p := range map[string]printer.Printer{
		"_amd64.s":  printer.NewGoAsm(cfg),
		"_amd64.go": printer.NewStubs(cfg),
	} {
		text, err := p.Print(file)
		if err != nil {
			return err
		}
		if err := checkRegisters(text); err != nil {
			return err
		}
		path := filepath.Join(dir, name+suffix)
		if !check {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return err
			}
			continue
		}
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(old, text) {
			return fmt.Errorf("%s is not what the generator writes: run it and commit", path)
		}
	}
	return nil
}

var (
	textLine = regexp.MustCompile(`^TEXT ·(\w+)\(SB\)`)
	nameZ    = regexp.MustCompile(`Z\d*$`)
	avx512   = regexp.MustCompile(`\b([XY](1[6-9]|2\d|3[01])|Z\d+|K[0-7])\b`)
)

// checkRegisters fails if a function whose name does not end in Z uses a register of AVX-512:
// avo hands out Y16 to Y31 when it runs short, and a processor with AVX2 only would fault.
func checkRegisters(text []byte) error {
	name := "Z"
	for _, line := range strings.Split(string(text), "\n") {
		if m := textLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		if r := avx512.FindString(line); r != "" && !nameZ.MatchString(name) {
			return fmt.Errorf("%s uses %s: %s", name, r, strings.TrimSpace(line))
		}
	}
	return nil
}
