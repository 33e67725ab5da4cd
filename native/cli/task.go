package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"transformer2/shared/task"
)

// taskUsage says what names a task.
var taskUsage = "a task of the suite (see t2 info), a file or directory of questions, or FORMAT:PATH " +
	"with a format of " + strings.Join(task.FormatNames(), ", ")

// limitUsage is --max-tokens where there are tasks.
const limitUsage = "tokens of an answer to a question of a file at most (0: 512; MATH 1024)"

// findTask is what --task names: a task of the suite, or questions on the disk, whose answers j
// judges if there is such a judge.
func findTask(ref string, j *judge) (task.Task, error) {
	known := task.Names()
	if slices.Contains(known, ref) {
		if j != nil {
			return nil, fmt.Errorf("--judge is for a file of questions; %s judges its answers itself", ref)
		}
		return task.Lookup(ref)
	}
	format, file := "", ref
	if head, rest, ok := strings.Cut(ref, ":"); ok && slices.Contains(task.FormatNames(), head) {
		format, file = head, rest
	}
	_, err := os.Stat(file)
	if err != nil && format == "" && !strings.ContainsAny(ref, `./\`) {
		return nil, fmt.Errorf("unknown task %q%s; want one of: %s, or a file of questions", ref,
			meant(ref, known), strings.Join(known, " "))
	}
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", ref, err)
	}
	if file, err = filepath.Abs(file); err != nil {
		return nil, err
	}
	return task.OpenData(os.DirFS(filepath.Dir(file)), filepath.Base(file), j.options(format))
}

// fit leaves out what the model has no room for, and says what of a user's data is not used, and
// why. The splits must hold something after it.
func (a *app) fit(s *session, t task.Task, worked bool, splits ...task.Split) error {
	d, ok := t.(*task.Data)
	if !ok {
		return nil
	}
	if err := s.Fit(d, worked); err != nil {
		return err
	}
	for _, l := range d.LeftOut() {
		a.warn("%s: %v", d.Name(), l)
	}
	return filled(d, splits...)
}

// limit bounds the answers to a user's questions; 0 tokens leave them as they are.
func limit(t task.Task, tokens int) error {
	d, ok := t.(*task.Data)
	switch {
	case tokens == 0:
	case !ok:
		return fmt.Errorf("--max-tokens is for a file of questions; %s bounds its answers itself",
			t.Name())
	case tokens < 1:
		return fmt.Errorf("--max-tokens is %d, want 1 or more, or 0", tokens)
	default:
		d.Limit(tokens)
	}
	return nil
}

// filled refuses empty splits of a user's data.
func filled(t task.Task, splits ...task.Split) error {
	if d, ok := t.(*task.Data); ok {
		for _, s := range splits {
			if err := d.Filled(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sumOf is the SHA-256 of a user's data, "" of a task of the suite.
func sumOf(t task.Task) string {
	if d, ok := t.(*task.Data); ok {
		return d.Sum()
	}
	return ""
}
