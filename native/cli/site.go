package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"transformer2/native/server"
)

func (a *app) siteCmd() *cobra.Command {
	var out, wasm, wasmExec string
	cmd := &cobra.Command{
		Use:   "site --out DIR --wasm FILE --wasm-exec FILE",
		Short: "write the page as a folder that any file host serves",
		Long: `Write the page, the engine and the models of the zoo as static files. The engine is
package wasm built for GOOS=js GOARCH=wasm, and wasm_exec.js comes with the toolchain that built it;
make site does both. All paths are relative.`,
		Example: "  make site\n  t2 site --out site --wasm bin/engine.wasm --wasm-exec " +
			"\"$(go env GOROOT)/lib/wasm/wasm_exec.js\"",
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			engine, err := os.ReadFile(wasm)
			if err != nil {
				return fmt.Errorf("--wasm: %w", err)
			}
			script, err := os.ReadFile(wasmExec)
			if err != nil {
				return fmt.Errorf("--wasm-exec: %w", err)
			}
			if err := server.Site(cmd.Context(), out, engine, script); err != nil {
				return err
			}
			look(a.out).line("%s: open it with t2 serve %s, or put it on any file host", out, out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the folder")
	cmd.Flags().StringVar(&wasm, "wasm", "", "the engine's module")
	cmd.Flags().StringVar(&wasmExec, "wasm-exec", "", "Go's wasm_exec.js")
	for _, name := range []string{"out", "wasm", "wasm-exec"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}
