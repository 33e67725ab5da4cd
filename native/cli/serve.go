package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"transformer2/native/server"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/svf"
)

// serveFlags are `t2 serve`'s.
type serveFlags struct {
	addr         string
	public, open bool
	models       []string
	experts      []string
}

func (a *app) serveCmd() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve [DIR]",
		Short: "serve the page, and models of this machine to it and to other programs",
		Long: `Serve a folder that t2 site wrote over HTTP to browsers on this machine, until Ctrl-C. The page
computes in the browser, and nothing it does comes back here.

With --model, once or more, the page has these models besides its own, and it is this program that
answers for them, on --device: the same views for a model that no browser could hold. One is loaded
when it is first asked for and stays until another is. All share it, and what was trained or opened
on one page is there for all; another model is refused while somebody uses it. Experts are those in the
model's folder experts/, and those of --expert that were made for it.

Other programs reach the same models by OpenAI's API, at /v1/chat/completions and /v1/models: NAME is
the base, NAME:EXPERT an expert, and NAME:auto the expert that the model itself picks for the prompt,
by the classification prompt. No folder is needed for that. Tools, penalties and several answers to
one request are refused.

--public lets other machines come, without a password: whoever reaches the address may use the engine.`,
		Example: "  t2 serve site --open\n" +
			"  t2 serve site --model Llama-3.2-1B-Instruct --open\n" +
			"  t2 serve site --model mistral.gguf --model zoo:tako --device gpu\n" +
			"  t2 serve --model ./llama --expert gsm8k=runs/gsm8k/best.safetensors\n" +
			"  t2 serve site --addr 127.0.0.1:9000\n" +
			"  t2 serve --model zoo:tako    # then: curl 127.0.0.1:8642/v1/chat/completions -H " +
			"'Content-Type: application/json' -d '{\"model\":\"zoo:tako:auto\",\"messages\":" +
			"[{\"role\":\"user\",\"content\":\"What does the kafin eat?\"}]}'",
		Args: wants("one folder", 0, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words)+len(f.models) == 0 {
				return errors.New("nothing to serve: want a folder that t2 site wrote, --model, or both")
			}
			return a.serve(cmd.Context(), strings.Join(words, ""), f, !cmd.Flags().Changed("addr"))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.addr, "addr", "127.0.0.1:8642", "HOST:PORT; without it, the next free "+
		"port where this one is taken")
	fl.BoolVar(&f.public, "public", false, "let other machines come")
	fl.BoolVar(&f.open, "open", false, "open the page in a browser, where there is a desktop")
	fl.StringArrayVar(&f.experts, "expert", nil, "an expert's file for one of the models, or NAME=FILE "+
		"to call it so (again for more)")
	fl.StringArrayVar(&f.models, "model", nil, "a model that this program answers for, as other verbs "+
		"take it (again for more)")
	return cmd
}

func (a *app) serve(ctx context.Context, dir string, f serveFlags, anyPort bool) error {
	var root *os.Root
	if dir != "" {
		var err error
		if root, err = os.OpenRoot(dir); err != nil {
			return err
		}
		defer root.Close()
		if _, err := root.Stat("index.html"); err != nil {
			return fmt.Errorf("%s has no index.html: want a folder that t2 site wrote", dir)
		}
	}
	var all http.Handler
	if len(f.models) > 0 {
		e, close, err := a.sharedEngine(f.models, f.experts)
		if err != nil {
			return err
		}
		defer close()
		if all, err = e.With(root, f.public); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	} else {
		all = server.Static(root)
	}
	l, err := server.Listen(f.addr, f.public, anyPort)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://%s/", l.Addr())
	if root != nil {
		look(a.out).line("%s  (Ctrl-C ends it)", url)
	}
	if len(f.models) > 0 {
		look(a.out).line("%sv1  OpenAI's API: %s", url, strings.Join(f.models, ", "))
	}
	if f.open && root != nil {
		browse(url)
	}
	s := server.New(all)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		s.Shutdown(late)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// sharedEngine is an engine that knows the models of refs, with what closes it and its
// device. A model that cannot be opened at all is refused now, not when a page asks for it.
func (a *app) sharedEngine(refs, experts []string) (*server.Engine, func(), error) {
	own, err := ownExperts(experts)
	if err != nil {
		return nil, nil, err
	}
	sources := map[string]engine.Source{}
	for _, ref := range refs {
		src, err := a.modelSource(ref)
		if err != nil {
			return nil, nil, err
		}
		if src.Name = pageName(ref); sources[src.Name].Files != nil {
			return nil, nil, fmt.Errorf("two models are called %s: want one, or another name for a "+
				"folder", src.Name)
		}
		if src.Hold, err = a.holding(src); err != nil {
			return nil, nil, err
		}
		sources[src.Name] = src
	}
	dev, err := a.device()
	if err != nil {
		return nil, nil, err
	}
	adapting := a.voicesOn(dev)
	adapting.Fast = false // the page's dials move z all the time
	e := server.NewEngine(desk.Config{Engine: "native", Dev: dev, Kernel: dev.Kernel(),
		Reason: dev.Reason(), Threads: dev.Threads(), Store: a.cacheStore(),
		Adapting: adapting, Own: own, Stranger: func(err error) {
			if len(refs) == 1 { // of several models, an expert is one's
				a.warn("%v", err)
			}
		},
		Models: func() []string { return slices.Sorted(maps.Keys(sources)) },
		Open:   func(name string) (engine.Source, error) { return sources[name], nil },
		Fits:   func(src engine.Source) error { return a.checkFit(dev, src) }, Opened: tidy})
	return e, func() { e.Close(); dev.Close() }, nil
}

// ownExperts reads experts' files. Each is called as it is said, NAME=FILE, or by its task, or else as
// its file.
func ownExperts(values []string) (map[string]*svf.Expert, error) {
	own := map[string]*svf.Expert{}
	for _, v := range values {
		name, file, named := strings.Cut(v, "=")
		if !named {
			file = v
		}
		e, err := engine.OpenExpert(checkpoint.OpenBlob, file)
		if err != nil {
			return nil, err
		}
		if !named {
			if name = e.Meta.Task; desk.CheckName(name) != nil {
				name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
			}
		}
		if err := desk.CheckName(name); err != nil {
			return nil, fmt.Errorf("--expert %s: %w; NAME=FILE gives it another", v, err)
		}
		if own[name] != nil {
			return nil, fmt.Errorf("--expert: two are called %s; NAME=FILE gives one another name", name)
		}
		own[name] = e
	}
	return own, nil
}

// pageName is what the page calls a model: it has the zoo's itself, and the folders before the others
// are not its business.
func pageName(ref string) string {
	if strings.HasPrefix(ref, zooPrefix) {
		return ref
	}
	return modelName(ref)
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
