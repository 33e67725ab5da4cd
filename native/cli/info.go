package cli

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/kernels/cpu"
	"transformer2/kernels/webgpu"
	"transformer2/native/adapter"
	"transformer2/shared/task"
	"transformer2/shared/zoo"
)

// The JSON lines of t2 info: one of each kind.
type (
	modelLine struct {
		Kind        string   `json:"kind"` // "model"
		Model       string   `json:"model"`
		Parameters  int      `json:"parameters"`
		Layers      int      `json:"layers"`
		Width       int      `json:"width"`
		Vocabulary  int      `json:"vocabulary"`
		Context     int      `json:"context"`
		Fingerprint string   `json:"fingerprint"`
		Weights     string   `json:"weights"` // how its matrices are held
		Experts     []string `json:"experts"`
	}
	taskLine struct {
		Kind     string         `json:"kind"` // "task"
		Task     string         `json:"task"`
		Label    string         `json:"label"` // what the first pass should find
		About    string         `json:"about"`
		Items    map[string]int `json:"items"`    // of each split
		Distinct map[string]int `json:"distinct"` // prompts among those looked at
		Looked   int            `json:"looked"`   // items of a split looked at, at most
	}
	machineLine struct {
		Kind       string           `json:"kind"` // "machine"
		Device     string           `json:"device"`
		Reason     string           `json:"reason"`
		GPUs       []webgpu.Adapter `json:"gpus"`  // the fastest kind first
		Forms      []string         `json:"forms"` // of the kernels that run here, best first
		Processors int              `json:"processors"`
		Go         string           `json:"go"`
		Cache      string           `json:"cache"`
		CacheFiles int              `json:"cache_files"`
		CacheBytes int64            `json:"cache_bytes"`
	}
)

const infoLong = `List the models that ship and their experts, the tasks with the size of each split
and how many distinct prompts it holds, which kernels compute and why, and where decompositions are
kept. With --task only that task: how its questions are read, the splits, one example of each, how
an answer is judged, and what is left out. It may be a file or directory of questions, as JSON, one
object a line or in a list, perhaps packed with gzip (.gz). Formats, recognised by their fields, or
named as in --task FORMAT:PATH:

  gsm8k  {"question","answer": "... #### 42"}
  math   {"problem","solution": "... \boxed{42}"}
  arc    {"question","choices","answerKey"}, as published or as on Hugging Face's hub
  own    {"prompt","answer"} and, if wanted, "system", "worked" (a whole answer to learn from),
         "choices" (a list), "label" (math, code, reasoning or other) and "score", how an answer is
         judged: number, math, choice, exact or contains
  mbpp, humaneval
         as published or as by EvalPlus; their answers are Python programs, which t2 does not run:
         they need a judge

A judge (--judge COMMAND, in train and eval too) is a program of yours that scores the answers to
any file. For each it reads a line {"prompt","answer","output","program","item"} (output is what the
model said, program the fenced block in it, item the object of the file) and writes a line with a
number from 0, wrong, to 1, right. It runs with your rights: start programs that a model wrote in a
container. With --judge the worked answers of the file are judged, to see whether the judge is right.

The words train, valid and test in the names of files and folders say which split they are; without
them a tenth of the questions, by hash, is test and a tenth valid.

With --json a line a thing, told apart by "kind": model {"model","parameters","layers","width",
"vocabulary","context","fingerprint","weights","experts"}, task {"task","label","about","items",
"distinct","looked"}, machine {"device","reason","gpus","forms","processors","go","cache",
"cache_files","cache_bytes"}; with --task data {"task","format","about","label","sha256","files",
"items","max_tokens","left_out","worked","worked_right","examples"}.`

func (a *app) infoCmd() *cobra.Command {
	var models, tasks []string
	var limit int
	var judge string
	cmd := &cobra.Command{
		Use:   "info",
		Short: "list models, experts, tasks, kernels and the cache, or show a file of questions",
		Long:  infoLong,
		Example: `  t2 info
  t2 info --model runs/mine --json
  t2 info --look 0
  t2 info --task gsm8k/train.jsonl`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(tasks) > 0 || cmd.Flags().Changed("judge") {
				return a.infoTasks(cmd, tasks, judge)
			}
			if len(models) == 0 {
				for _, name := range zoo.Names() {
					models = append(models, zooPrefix+name)
				}
			}
			return a.info(models, limit)
		},
	}
	cmd.Flags().StringArrayVar(&models, "model", nil,
		"a model to describe (default: all that ship); may be given several times")
	cmd.Flags().StringArrayVar(&tasks, "task", nil, "only this task: "+taskUsage+"; may be given "+
		"several times")
	cmd.Flags().StringVar(&judge, "judge", "", "with --task: "+judgeUsage)
	cmd.Flags().IntVar(&limit, "look", 4096, "items of each split whose prompts are compared; 0: "+
		"all")
	return cmd
}

func (a *app) info(models []string, limit int) error {
	dev, err := a.device()
	if err != nil {
		return err
	}
	defer dev.Close()
	var about []modelLine
	for _, ref := range models {
		m, err := a.aboutModel(dev, ref)
		if err != nil {
			return err
		}
		about = append(about, m)
	}
	tasks, err := aboutTasks(limit)
	if err != nil {
		return err
	}
	machine := a.aboutMachine(dev)
	if !a.json {
		look(a.out).about(about, tasks, machine)
		return nil
	}
	for _, m := range about {
		a.print(m)
	}
	for _, t := range tasks {
		a.print(t)
	}
	a.print(machine)
	return nil
}

func (a *app) aboutModel(dev *adapter.Device, ref string) (modelLine, error) {
	src, err := a.modelSource(ref)
	if err != nil {
		return modelLine{}, err
	}
	m, err := a.load(dev, src)
	if err != nil {
		return modelLine{}, err
	}
	defer m.LM.Free()
	c := m.LM.Config
	print, err := m.Fingerprint()
	if err != nil {
		return modelLine{}, err
	}
	return modelLine{Kind: "model", Model: ref, Parameters: c.NumParams(), Layers: c.Layers,
		Width:      c.Dim,
		Vocabulary: c.Vocab, Context: c.Context, Fingerprint: print.Short(),
		Weights: m.LM.Blocks[0].Q.W.Type().String(),
		Experts: append([]string{}, m.ExpertNames()...)}, nil
}

func aboutTasks(limit int) ([]taskLine, error) {
	stats, err := task.Stats(limit)
	if err != nil {
		return nil, err
	}
	var all []taskLine
	for _, s := range stats {
		if len(all) == 0 || all[len(all)-1].Task != s.Task {
			t, err := task.Lookup(s.Task)
			if err != nil {
				return nil, err
			}
			all = append(all, taskLine{Kind: "task", Task: s.Task, Label: t.Label(), About: t.Doc(),
				Items: map[string]int{}, Distinct: map[string]int{}})
		}
		l := &all[len(all)-1]
		t, _ := task.Lookup(s.Task)
		l.Items[s.Split.String()], l.Distinct[s.Split.String()] = t.Size(s.Split), s.Distinct
		l.Looked = max(l.Looked, s.Items)
	}
	return all, nil
}

func (a *app) aboutMachine(dev *adapter.Device) machineLine {
	m := machineLine{Kind: "machine", Device: dev.Name(), Reason: dev.Reason(), Forms: cpu.Forms(),
		Processors: runtime.NumCPU(), Go: runtime.Version(), Cache: a.cacheDir(),
		GPUs: []webgpu.Adapter{}}
	if list, err := webgpu.List(); err != nil {
		a.warn("GPUs cannot be listed: %v", err)
	} else {
		m.GPUs = append(m.GPUs, list...)
	}
	filepath.WalkDir(m.Cache, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // a cache that is not there yet holds nothing
		}
		if info, err := e.Info(); err == nil {
			m.CacheFiles++
			m.CacheBytes += info.Size()
		}
		return nil
	})
	return m
}

func (u *ui) about(models []modelLine, tasks []taskLine, m machineLine) {
	u.line("%s", u.title.Render("Models"))
	var rows [][]string
	for _, m := range models {
		rows = append(rows, []string{u.name.Render(m.Model),
			fmt.Sprintf("%.2f M", float64(m.Parameters)/1e6),
			fmt.Sprint(m.Layers), fmt.Sprint(m.Width), fmt.Sprint(m.Vocabulary),
			fmt.Sprint(m.Context),
			m.Fingerprint, m.Weights})
	}
	if len(rows) == 0 {
		u.line("none ship with this build")
	} else {
		u.table([]string{"model", ">parameters", ">layers", ">width", ">vocabulary", ">context",
			"fingerprint", "weights"}, rows)
	}
	for _, m := range models {
		u.line("%s", u.indent(fmt.Sprintf("experts of %s: %s", m.Model, orNone(m.Experts)), 2))
	}
	u.line("\n%s", u.title.Render("Tasks"))
	rows = nil
	for _, t := range tasks {
		rows = append(rows, []string{u.name.Render(t.Task), t.Label, counts(t, "train"),
			counts(t, "valid"),
			counts(t, "test"), t.About})
	}
	u.table([]string{"task", "kind", ">train", ">valid", ">test", "about"}, rows)
	u.line("%s", u.faint.Render(fmt.Sprintf("items, and distinct prompts among the first %d of "+
		"each split",
		tasks[0].Looked)))
	u.line("\n%s", u.title.Render("Machine"))
	u.line("computes on  %s: %s", m.Device, m.Reason)
	for _, g := range m.GPUs {
		u.line("GPU          %s: %s, %s, buffers of up to %.3g GiB (--device gpu:NAME)", g, g.Kind,
			orUnknown(g.Driver), float64(g.Binding)/(1<<30))
	}
	if len(m.GPUs) == 0 {
		u.line("GPU          none: no driver was found")
	}
	u.line("forms here   %s (force one with --kernels)", strings.Join(m.Forms, ", "))
	u.line("processors   %d, %s, %s/%s", m.Processors, m.Go, runtime.GOOS, runtime.GOARCH)
	cache := m.Cache
	if cache == "" {
		cache = "none: no cache directory on this system"
	}
	u.line("cache        %s: %d decomposed matrices, %.1f MB", cache, m.CacheFiles,
		float64(m.CacheBytes)/1e6)
}

func counts(t taskLine, split string) string {
	return fmt.Sprintf("%d (%d)", t.Items[split], t.Distinct[split])
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

// orUnknown is a driver's name.
func orUnknown(driver string) string { return cmp.Or(driver, "driver unknown") }
