package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"time"

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

func (a *app) serveCmd() *cobra.Command {
	var addr string
	var public, open bool
	cmd := &cobra.Command{
		Use:   "serve DIR",
		Short: "serve a folder that t2 site wrote, to this machine",
		Long: `Serve the page over HTTP to browsers on this machine, until Ctrl-C. The page computes
in the browser; nothing it does comes back here.`,
		Example: "  t2 serve site\n  t2 serve site --open\n  t2 serve site --addr 127.0.0.1:9000",
		Args:    wants("one folder", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			root, err := os.OpenRoot(words[0])
			if err != nil {
				return err
			}
			defer root.Close()
			if _, err := root.Stat("index.html"); err != nil {
				return fmt.Errorf("%s has no index.html: want a folder that t2 site wrote", words[0])
			}
			l, err := server.Listen(addr, public, !cmd.Flags().Changed("addr"))
			if err != nil {
				return err
			}
			url := fmt.Sprintf("http://%s/", l.Addr())
			look(a.out).line("%s  (Ctrl-C ends it)", url)
			if open {
				browse(url)
			}
			s := server.New(server.Static(root))
			go func() {
				<-cmd.Context().Done()
				late, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				s.Shutdown(late)
			}()
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8642", "HOST:PORT; without it, the next free "+
		"port where this one is taken")
	cmd.Flags().BoolVar(&public, "public", false, "let other machines come")
	cmd.Flags().BoolVar(&open, "open", false, "open the page in a browser, where there is a desktop")
	return cmd
}

// browse opens an address in the desktop's browser. Where there is none the address that was
// printed is enough.
func browse(url string) {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	if cmd := exec.Command(name, args...); cmd.Start() == nil {
		go cmd.Wait()
	}
}
