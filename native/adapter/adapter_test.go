package adapter

import (
	"errors"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/kernels/webgpu"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Choice{"": {Kind: CPU}, "cpu": {Kind: CPU}, "gpu": {Kind: GPU},
		"auto": {Kind: Auto}, "gpu:H200": {Kind: GPU, Name: "H200"},
		"gpu:a:b": {Kind: GPU, Name: "a:b"}} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"tpu", "cpu:0", "auto:x", "gpu:", ":", "GPU"} {
		if got, err := Parse(s); err == nil || !strings.Contains(err.Error(), Usage) {
			t.Errorf("%q: %+v, %v, want an error that lists the choices", s, got, err)
		}
	}
}

// opened opens a choice and closes it again.
func opened(t *testing.T, c Choice) (name, reason string, err error) {
	t.Helper()
	d, err := Open(c, cpu.Options{Threads: 1})
	if err != nil {
		return "", "", err
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Errorf("%+v: closing: %v", c, err)
		}
	}()
	if y := make([]float64, 1); true {
		d.Symv64(1, []float64{2}, 1, []float64{3}, y)
		if y[0] != 6 {
			t.Errorf("%+v: f64 on the CPU gives %v, want 6", c, y[0])
		}
	}
	return d.Name(), d.Reason(), nil
}

// TestRefused: a GPU that is not to be used is refused to whoever asks for it; whoever leaves the
// choice gets the CPU, and hears why.
func TestRefused(t *testing.T) {
	broken := []webgpu.Adapter{{Name: "Broken 9000", Kind: webgpu.KindDiscrete}}
	wrong := errors.New("webgpu: Broken 9000 computes wrongly, norm: number 3 is 7, want 1")
	noList := errors.New("the driver does not load")
	open := func(webgpu.Options) (*webgpu.Device, error) { return nil, wrong }
	for _, c := range []struct {
		list      []webgpu.Adapter
		err, want error
	}{{broken, nil, wrong}, {nil, noList, noList}} {
		gpu, reason, err := openGPU(Choice{Kind: Auto}, c.list, c.err, open)
		if gpu != nil || err != nil || !strings.HasPrefix(reason, "the CPU, since") ||
			!strings.Contains(reason, c.want.Error()) {
			t.Errorf("auto: %v because %q, %v, want none because of %v", gpu, reason, err, c.want)
		}
		if _, _, err := openGPU(Choice{Kind: GPU}, c.list, c.err, open); !errors.Is(err, c.want) {
			t.Errorf("gpu: %v, want %v", err, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	name, _, err := opened(t, Choice{Kind: CPU})
	if err != nil || !strings.HasPrefix(name, "cpu ") {
		t.Errorf("cpu: %q, %v", name, err)
	}
	list, err := webgpu.List()
	if err != nil {
		t.Fatal(err)
	}
	real := len(list) > 0 && list[0].Kind != webgpu.KindCPU

	name, reason, err := opened(t, Choice{Kind: Auto})
	if err != nil || reason == "" {
		t.Errorf("auto: %q because %q, %v", name, reason, err)
	}
	if !real && (!strings.HasPrefix(name, "cpu ") || !strings.Contains(reason, "the CPU, since")) {
		t.Errorf("auto without a GPU: %q because %q, want the CPU and why", name, reason)
	}

	name, reason, err = opened(t, Choice{Kind: GPU})
	if len(list) == 0 {
		if !errors.Is(err, webgpu.ErrNoAdapter) {
			t.Errorf("gpu without a driver: %q, %v, want %v", name, err, webgpu.ErrNoAdapter)
		}
		return
	}
	if err != nil || !strings.Contains(name, list[0].Name) || reason == "" {
		t.Errorf("gpu: %q because %q, %v, want %s", name, reason, err, list[0].Name)
	}
	part := strings.ToUpper(list[0].Name[:4])
	if name, _, err = opened(t, Choice{Kind: GPU, Name: part}); err != nil ||
		!strings.Contains(name, list[0].Name) {
		t.Errorf("gpu:%s: %q, %v, want %s", part, name, err, list[0].Name)
	}
	_, _, err = opened(t, Choice{Kind: GPU, Name: "no such"})
	if err == nil || !strings.Contains(err.Error(), list[0].Name) ||
		!strings.Contains(err.Error(), "no such") {
		t.Errorf("gpu:no such: %v, want an error that names it and what there is", err)
	}
}
