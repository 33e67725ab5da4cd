package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"transformer2/native/hub"
	"transformer2/shared/zoo"
)

// pulledLine is the JSON of a model that is in the hub's cache.
type pulledLine struct {
	Model   string `json:"model"`
	Path    string `json:"path"`
	Commit  string `json:"commit"`
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`   // of all files
	Fetched int64  `json:"fetched"` // of these, now
}

func (a *app) pullCmd() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use:   "pull ORG/NAME[/FILE.gguf]",
		Short: "fetch a model by its name on Hugging Face's hub",
		Long: `Fetch what of a model on Hugging Face's hub is needed and not here yet: config, tokenizer
and safetensors, or a GGUF. It goes to the cache that the hub's other tools share, where --model
finds it by the same name, without a network. A download that was cut goes on where it was, and a
file counts only when its hash is the hub's.

The hub's variables hold: HF_HOME, HF_HUB_CACHE, HF_TOKEN (for models with a licence to accept),
HF_ENDPOINT (a mirror), HF_HUB_OFFLINE=1 (fetch nothing, and tell what would be fetched).

With --json {"model","path","commit","files","bytes","fetched"}.`,
		Example: "  t2 pull meta-llama/Llama-3.2-1B-Instruct\n" +
			"  t2 pull TheBloke/Mistral-7B-Instruct-v0.2-GGUF/mistral-7b-instruct-v0.2.Q4_0.gguf\n" +
			"  t2 generate --model meta-llama/Llama-3.2-1B-Instruct --prompt \"Why is the sea salt?\"",
		Args: wants("ORG/NAME", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			n, ok := hub.ParseName(words[0])
			if !ok {
				return fmt.Errorf("%q is no model's name on the hub: want ORG/NAME or ORG/NAME/FILE.gguf",
					words[0])
			}
			n.Revision = revision
			return a.pull(cmd.Context(), n)
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "main", "a branch, a tag or a commit")
	return cmd
}

func (a *app) pull(ctx context.Context, n hub.Name) error {
	h, err := hub.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	var end func()
	h.Progress, end = a.bytesBar("fetching")
	p, err := h.Pull(ctx, n)
	end()
	if errors.Is(err, context.Canceled) && p.Fetched > 0 {
		a.warn("%.1f MB came and are kept; the same command goes on", float64(p.Fetched)/1e6)
	}
	if err != nil {
		return err
	}
	if p.Unasked != nil {
		a.warn("%v; %s is in the cache", p.Unasked, n)
	}
	if a.json {
		a.print(pulledLine{n.String(), p.Path, p.Commit, p.Files, p.Bytes, p.Fetched})
		return nil
	}
	if p.Unasked == nil {
		look(a.out).line("%s: %d files, %.1f MB, of which %.1f MB came now", n, p.Files,
			float64(p.Bytes)/1e6, float64(p.Fetched)/1e6)
	}
	look(a.out).line("%s", p.Path)
	return nil
}

// bytesBar shows how many bytes are done on a terminal; both functions may be called without one.
func (a *app) bytesBar(what string) (show func(done, total int64), end func()) {
	if !terminal(a.err) || a.json {
		return nil, func() {}
	}
	p := mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(32))
	var bar *mpb.Bar
	show = func(done, total int64) {
		if bar == nil {
			bar = p.AddBar(total, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(what+" "),
					decor.Counters(decor.SizeB1000(0), "% .1f / % .1f")),
				mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1000(0), "% .1f"),
					decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))
		}
		bar.SetCurrent(done)
	}
	return show, sync.OnceFunc(func() {
		if bar != nil {
			bar.Abort(true)
		}
		p.Wait()
	})
}

// onDisk is where the model that ref names lies: ref itself, or the hub's cache.
func onDisk(ref string) (string, error) {
	_, err := os.Stat(ref)
	if !errors.Is(err, fs.ErrNotExist) {
		return ref, err
	}
	if n, ok := hub.ParseName(ref); ok {
		h, err := hub.FromEnvironment(os.Getenv)
		if err != nil {
			return "", err
		}
		path, err := h.Cached(n)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("there is no such file, and %w; t2 pull %s fetches it", err, n)
		}
		return path, err
	}
	return "", fmt.Errorf("there is no such file; want zoo:NAME (%s), a directory, a weights' file "+
		"or ORG/NAME", strings.Join(zoo.Names(), ", "))
}
