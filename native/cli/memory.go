package cli

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"transformer2/native/adapter"
	"transformer2/native/proc"
	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/plan"
	"transformer2/shared/train"
)

// room is the bytes of memory that this process may take: what --memory says, or else on Linux what
// the system can give without swapping, within the limit of the control group, and elsewhere all
// that the machine has. ok is false where the system does not say.
func (a *app) room() (bytes int64, ok bool) {
	if a.memory > 0 {
		return int64(min(a.memory*1e9, 1<<62)), true
	}
	free, ok := told("/proc/meminfo", "MemAvailable")
	if !ok {
		total, err := memlimit.FromSystem()
		free, ok = int64(total), err == nil && total > 0
	}
	if limit, err := memlimit.FromCgroup(); err == nil { // an error: there is no limit
		free = min(free, int64(min(limit, math.MaxInt64)))
	}
	return free, ok
}

// told is a line of a file of Linux's /proc, in bytes.
func told(path, key string) (bytes int64, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	return proc.Bytes(string(text), key)
}

// large is the bytes of Go's heap from which on what it leaves unused matters.
const large = 64 << 20

// tidy gives the system back what loading took beside the model, and has little of what is dropped
// later wait for its collection: a model's memory is a few large slices, which cost the collector
// nothing.
func tidy() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc < large {
		return
	}
	debug.SetGCPercent(10)
	debug.FreeOSMemory()
}

// workOf is what a verb does with a model, as shared/plan names it.
func workOf(cmd *cobra.Command) string {
	switch cmd.Name() {
	case "train":
		return "train"
	case "adapt", "compare", "eval", "demo", "serve":
		return "adapt"
	}
	for _, flag := range []string{"expert", "mix", "adapt"} {
		if cmd.Flags().Changed(flag) {
			return "adapt"
		}
	}
	if cmd.Name() == "generate" || cmd.Name() == "chat" {
		return "serve"
	}
	return "load"
}

// checkFit refuses work that takes more memory than there is, before anything of it is taken. A GPU
// does not tell how much it has.
func (a *app) checkFit(dev *adapter.Device, src engine.Source) error {
	room, ok := a.room()
	if a.force || !ok || !dev.Host() && a.memory == 0 {
		return nil
	}
	m, err := planned(src)
	if err != nil {
		return nil // opening the model says what is wrong with it
	}
	m.Held, m.Training = src.Hold(m.Stored), a.training
	if a.work == "adapt" {
		m = a.asked(m)
	}
	takes, err := bytesOf(m, a.work)
	if err != nil || takes <= room {
		return err
	}
	kept := ""
	if m.BasesInMemory {
		kept = ", its bases among it, as no file can be written in the cache"
	}
	return fmt.Errorf("model %s: to %s it with weights as %v and a context of %d takes %s%s, and there "+
		"are %s: %s; --force starts anyhow", src.Name, a.work, m.Held.Matrices, m.Config.Context,
		size(takes), kept, size(room), a.smaller(m, room))
}

// bytesOf is what the plan says that a work takes.
func bytesOf(m plan.Model, work string) (int64, error) {
	works, err := plan.Of(m, plan.Rates{})
	for _, w := range works {
		if w.Name == work {
			return w.Bytes, err
		}
	}
	return 0, err
}

// leastContext is the shortest context that is worth proposing.
const leastContext = 256

// smaller says what would fit: an expert folded, then the weights in fewer bits, then the projected
// form of training, then a shorter context.
func (a *app) smaller(m plan.Model, room int64) string {
	folded := ""
	if m.Form == adapt.FormProjected {
		m.Form, folded = adapt.FormFolded, "--form folded "
	}
	kinds := []compute.DType{m.Held.Matrices}
	for _, t := range []compute.DType{compute.BF16, compute.Q8, compute.Q4} {
		held := m.Held.Matrices
		beside := a.work == "adapt" && t != held && t == adapt.FoldedType(held) // W' would be, in t
		if (plan.Bits(t) < plan.Bits(held) || beside) && m.Config.Holds(t) {
			kinds = append(kinds, t)
		}
	}
	forms := []train.Form{m.Training.Form}
	if a.work == "train" && m.Training.Form != train.Projected {
		forms = append(forms, train.Projected)
	}
	for context := m.Config.Context; context >= leastContext; context /= 2 {
		for _, form := range forms {
			for _, t := range kinds {
				lean := m
				lean.Config.Context, lean.Training.Form = context, form
				if t != m.Held.Matrices {
					lean.Held = m.Stored.As(t)
				}
				takes, err := bytesOf(lean, a.work)
				if err != nil || takes > room {
					continue
				}
				how := folded
				if t != m.Held.Matrices {
					how += fmt.Sprintf("--weights %v ", t)
				}
				if form != m.Training.Form {
					how += fmt.Sprintf("--form %s ", form)
				}
				if context != m.Config.Context {
					how += fmt.Sprintf("--context %d ", context)
				}
				return fmt.Sprintf("%stakes %s", how, size(takes))
			}
		}
	}
	if a.work == "train" {
		return "fewer --prompts and --samples or another --scope takes less"
	}
	return "no type of weights makes it fit"
}
