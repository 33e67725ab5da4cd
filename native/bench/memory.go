package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"transformer2/native/proc"
)

// mostMemory bounds t2 generate on a small model, in MB.
const mostMemory = 150.0

// question is what t2 generate is asked.
const question = "Tom has 12 apples. Tom buys 7. How many apples does Tom have?"

// memory runs t2 generate as a process of its own and watches the most memory that it ever had.
func memory(ctx context.Context, env Env) ([]Figure, error) {
	_, ref, model, err := env.session.model()
	if err != nil {
		return nil, err
	}
	f := Figure{Name: fmt.Sprintf("t2 generate, %s, peak resident memory", model), Unit: "MB"}
	env.say("%s", f.Name)
	peak, err := peakOf(ctx, env, highWater, "generate", "--model", ref, "--prompt", question)
	if err != nil {
		return nil, err
	}
	if peak == 0 {
		f.Note = notMeasured
		return []Figure{f}, nil
	}
	return []Figure{bound(f.Name, f.Unit, peak/1e6, mostMemory)}, nil
}

// notMeasured is the note of a peak that the system does not tell.
const notMeasured = "not measured: this system has no /proc/PID/status with VmHWM"

// peakOf runs t2 as a process of its own and gives the most memory that its status ever told, in
// bytes, 0 if the system does not say.
func peakOf(ctx context.Context, env Env, memory func(status string) float64, args ...string) (
	float64, error) {
	cmd, err := t2(ctx, env.Command, args...)
	if err != nil {
		return 0, err
	}
	return watchT2(cmd, memory)
}

// t2 is a process of t2, which command runs; nil: the running program does.
func t2(ctx context.Context, command []string, args ...string) (*exec.Cmd, error) {
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		command = []string{self}
	}
	return exec.CommandContext(ctx, command[0], append(slices.Clone(command[1:]), args...)...), nil
}

// lookEvery is how often a process is looked at. VmHWM only ever grows, so that only what is taken
// after the last look is missed. (What the system says of an ended process is no help: on Linux
// that peak includes the process that started it.)
const lookEvery = time.Millisecond

// watchT2 is watch of t2; an error says what that said.
func watchT2(cmd *exec.Cmd, memory func(status string) float64) (peak float64, err error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if peak, err = watch(cmd, memory); err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd, err, cut(strings.TrimSpace(said.String())))
	}
	return peak, err
}

// watch runs a process and gives the most memory that its status ever tells, in bytes; 0 if the
// system does not say.
func watch(cmd *exec.Cmd, memory func(status string) float64) (peak float64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return peak, err
		case <-tick.C:
			if text, err := os.ReadFile(status); err == nil {
				peak = max(peak, memory(string(text)))
			}
		}
	}
}

// highWater is the peak resident memory in a process's status, in bytes; 0 if it is not there.
func highWater(status string) float64 { return statusBytes(status, "VmHWM") }

// statusBytes is a line of a process's status, in bytes; 0 if it is not there.
func statusBytes(status, name string) float64 {
	n, ok := proc.Bytes(status, name)
	if !ok {
		return 0
	}
	return float64(n)
}
