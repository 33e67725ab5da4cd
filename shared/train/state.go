package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

// The state of a run is a safetensors file: each trained tensor and its two moments in f32, and
// in the metadata the configuration, the progress and the trainer's cursor.
const (
	metaConfig   = "config"
	metaProgress = "progress"
	metaCursor   = "cursor"
)

func writeState(w io.Writer, dev compute.Device, o *optimizer, cfg any, p Progress, cursor string) error {
	var tensors []checkpoint.Tensor
	for _, q := range o.params {
		for suffix, t := range map[string]compute.Tensor{"": q.p, ".m": q.m, ".v": q.v} {
			data := make([]float32, t.Len())
			if err := dev.Read(data, t); err != nil {
				return err
			}
			tensors = append(tensors,
				checkpoint.FromFloat32(q.name+suffix, checkpoint.F32, data, t.Rows, t.Cols))
		}
	}
	config, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("train: state: %w", err)
	}
	progress, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("train: state: %w", err)
	}
	return checkpoint.Write(w, tensors, map[string]string{
		metaConfig: string(config), metaProgress: string(progress), metaCursor: cursor})
}

func readState(r checkpoint.Blob, dev compute.Device, o *optimizer, cfg any) (
	p Progress, cursor string, err error) {
	f, err := checkpoint.Open(r, r.Size())
	if err != nil {
		return p, "", err
	}
	meta := f.Metadata()
	config, err := json.Marshal(cfg)
	if err != nil {
		return p, "", fmt.Errorf("train: state: %w", err)
	}
	if !bytes.Equal(config, []byte(meta[metaConfig])) {
		return p, "", fmt.Errorf("train: the run was begun with %s, now wanted %s; "+
			"use the same options or another directory", meta[metaConfig], config)
	}
	if err := json.Unmarshal([]byte(meta[metaProgress]), &p); err != nil {
		return p, "", fmt.Errorf("train: state: progress: %w", err)
	}
	for _, q := range o.params {
		for suffix, t := range map[string]compute.Tensor{"": q.p, ".m": q.m, ".v": q.v} {
			data := make([]float32, t.Len())
			if err := f.ReadInto(q.name+suffix, data); err != nil {
				return p, "", err
			}
			dev.Write(t, data)
		}
	}
	return p, meta[metaCursor], nil
}
