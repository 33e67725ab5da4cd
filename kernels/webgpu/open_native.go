//go:build (linux || windows || darwin) && (amd64 || arm64)

package webgpu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"
	"github.com/gogpu/wgpu/hal"
)

// ErrNoAdapter says that there is no GPU, and no driver that plays one.
var ErrNoAdapter = errors.New("webgpu: no GPU driver found")

// The library chooses an adapter by a preference and not by name, and falls back to one of its own
// that gives wrong numbers (it runs a workgroup's threads one after another). So the system's one
// real API is wrapped: it shows the library the adapter that was chosen here, and no other.
type only struct {
	hal.Backend
	mu    sync.Mutex
	index int // of the adapter, in the driver's order; all: every one
}

const all = -1

func (o *only) CreateInstance(desc *hal.InstanceDescriptor) (hal.Instance, error) {
	instance, err := o.Backend.CreateInstance(desc)
	if err != nil {
		return nil, err
	}
	return &onlyInstance{Instance: instance, index: o.index}, nil
}

type onlyInstance struct {
	hal.Instance
	index int
}

func (i *onlyInstance) EnumerateAdapters(s hal.Surface) []hal.ExposedAdapter {
	list := i.Instance.EnumerateAdapters(s)
	if i.index == all {
		return list
	}
	for k := range list {
		if k != i.index {
			list[k].Adapter.Destroy()
		}
	}
	if i.index >= len(list) {
		return nil
	}
	return list[i.index : i.index+1]
}

// system is the API that this build computes with.
var system = func() *only {
	backend, ok := hal.GetBackend(backendAPI)
	if !ok {
		return nil
	}
	o := &only{Backend: backend, index: all}
	hal.RegisterBackend(o)
	return o
}()

// ranked is an adapter and its place in the driver's list.
type ranked struct {
	Adapter
	index int
}

// findAdapters lists the adapters, the fastest kind first.
func findAdapters() ([]ranked, error) {
	if system == nil {
		return nil, ErrNoAdapter
	}
	instance, err := system.Backend.CreateInstance(&hal.InstanceDescriptor{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAdapter, err)
	}
	defer instance.Destroy()
	var list []ranked
	for i, a := range instance.EnumerateAdapters(nil) {
		list = append(list, ranked{describe(a), i})
		a.Adapter.Destroy()
	}
	if len(list) == 0 {
		return nil, ErrNoAdapter
	}
	slices.SortStableFunc(list, func(x, y ranked) int { return cmp.Compare(x.rank(), y.rank()) })
	return list, nil
}

var kinds = map[gputypes.DeviceType]string{
	gputypes.DeviceTypeDiscreteGPU: KindDiscrete, gputypes.DeviceTypeIntegratedGPU: KindIntegrated,
	gputypes.DeviceTypeVirtualGPU: KindVirtual, gputypes.DeviceTypeCPU: KindCPU,
}

func describe(a hal.ExposedAdapter) Adapter {
	return Adapter{Name: a.Info.Name, Kind: cmp.Or(kinds[a.Info.DeviceType], KindOther),
		API: a.Info.Backend.String(), Driver: cmp.Or(a.Info.DriverInfo, a.Info.Driver),
		Binding: a.Capabilities.Limits.MaxStorageBufferBindingSize}
}

// List gives the adapters, the fastest kind first; none where there is no driver.
func List() ([]Adapter, error) {
	found, err := findAdapters()
	if errors.Is(err, ErrNoAdapter) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Adapter
	for _, a := range found {
		list = append(list, a.Adapter)
	}
	return list, nil
}

// mostBuffer replaces a limit that the library makes up (256 MiB) and does not ask the driver for;
// the driver itself refuses what it cannot give.
const mostBuffer = 1 << 40

// open opens the first adapter that o asks for.
func open(o Options) (*Device, error) {
	found, err := findAdapters()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range found {
		if strings.Contains(strings.ToLower(a.Name), strings.ToLower(o.Adapter)) {
			d, err := openAt(a)
			if err != nil {
				return nil, fmt.Errorf("webgpu: %s does not open: %w", a.Name, err)
			}
			return d, nil
		}
		names = append(names, a.Name)
	}
	return nil, fmt.Errorf("webgpu: no adapter is called %q; there is %s", o.Adapter,
		strings.Join(names, ", "))
}

func openAt(a ranked) (*Device, error) {
	system.mu.Lock()
	defer system.mu.Unlock()
	system.index = a.index
	defer func() { system.index = all }()
	instance, err := wgpu.CreateInstance(&wgpu.InstanceDescriptor{Backends: backendMask})
	if err != nil {
		return nil, err
	}
	adapter, err := instance.RequestAdapter(nil)
	if err != nil {
		instance.Release()
		return nil, err
	}
	limits := adapter.Limits()
	limits.MaxBufferSize = mostBuffer
	dev, err := adapter.RequestDevice(&wgpu.DeviceDescriptor{Label: "t2", RequiredLimits: limits})
	if err != nil {
		instance.Release()
		return nil, err
	}
	return &Device{adapter: a.Adapter, release: instance.Release, dev: dev, limits: limits}, nil
}
