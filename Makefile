# Everything is done from here; `make` alone lists what there is.

# Go 1.27's portable simd package needs both; the go command fetches the toolchain as a module.
export GOTOOLCHAIN := go1.27.2
export GOEXPERIMENT := simd

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
WASM_EXEC = $$(go env GOROOT)/lib/wasm/go_js_wasm_exec

.DEFAULT_GOAL := help
.PHONY: help build demo tour site test test-go test-gpu test-browser test-drivers test-wasm deps bench bench-browser bench-native zoo check generate

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/t2
	go build -o bin/t2 ./native

tour: build ## two minutes in the terminal: base, expert, and the choice between them
	./bin/t2 demo

demo: site ## open the page: an embedded model, its base and its experts side by side
	./bin/t2 serve site --open

# The engine for the browser is built first; wasm_exec.js comes with the toolchain that built it.
site: build ## write the page as a static folder, site/
	GOOS=js GOARCH=wasm go build -trimpath -ldflags='-s -w' -o bin/engine.wasm ./wasm
	./bin/t2 site --out site --wasm bin/engine.wasm --wasm-exec "$$(go env GOROOT)/lib/wasm/wasm_exec.js"

test: deps check test-go test-gpu test-wasm ## everything that must hold, as CI runs it

# All but what computes on a GPU, which test-gpu runs.
test-go:
	go test $$(go list ./... | grep -v -e /kernels/webgpu -e /native/adapter)

# The same conformance suite on WebAssembly's SIMD, where the page's arithmetic runs.
test-wasm:
	GOOS=js GOARCH=wasm go test -exec="$(WASM_EXEC)" ./kernels/cpu

# A GPU computes what the CPU does: the conformance suite on each Vulkan driver that plays a GPU on the
# processor, and in a browser, beside each other as both compile on one core. Debian's chromium brings
# SwiftShader, mesa-vulkan-drivers lavapipe.
DRIVERS = /usr/share/vulkan/icd.d/lvp_icd*.json /usr/lib/chromium/vk_swiftshader_icd.json \
	/usr/share/vulkan/icd.d/nvidia*.json /etc/vulkan/icd.d/nvidia*.json
test-gpu: ## the GPU device on lavapipe, on SwiftShader, in a browser, and on NVIDIA's driver if there
	$(MAKE) -j2 --no-print-directory test-browser test-drivers

test-browser:
	TEST_GPU=1 go test -count=1 ./kernels ./kernels/webgpu/browsertest
	TEST_GPU=1 go test -count=1 -run TestGPU ./web/browsertest
	TEST_GPU=1 go test -count=1 -run 'GPU|Driver|Interrupt|Projected|TooLarge' ./native/cli ./native/bench

test-drivers:
	@for icd in $$(ls $(DRIVERS) 2>/dev/null); do echo "$$icd"; \
		VK_ICD_FILENAMES=$$icd go test -count=1 -p 1 ./kernels/webgpu ./native/adapter || exit 1; done

# What the tests need besides Go: node runs the WebAssembly build. In CI, where nothing may be skipped,
# also a browser for the page and the peers of the benchmarks. Nothing is installed that is there.
LLAMACPP = native/bench/llamacpp
NPM = { test -d $(1)/node_modules || npm --prefix $(1) install --silent --ignore-scripts --no-audit \
	--no-fund --no-package-lock; }
PEERS := libopenblas0-pthread python3-numpy python3-scipy python3-torch python3-jinja2
deps: ## install what the tests need (Debian; as root)
	@command -v node >/dev/null || { apt-get update -qq && apt-get install -y -qq nodejs; }
	@test -z "$(CI)" || { ls /usr/share/vulkan/icd.d/lvp_icd*.json && command -v spirv-val; } >/dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq libvulkan1 mesa-vulkan-drivers spirv-tools; }
	@test -z "$(CI)" || { command -v chromium >/dev/null && /usr/bin/python3 -c 'import scipy, torch, jinja2' 2>/dev/null; } || \
		{ apt-get update -qq && apt-get install -y -qq chromium $(PEERS); }
	@test -z "$(CI)" || { command -v cc && command -v npm; } >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq gcc libc6-dev npm; }
	@test -z "$(CI)" || $(call NPM,$(LLAMACPP))

# Peers, where they are wanted: apt-get install libopenblas0-pthread python3-scipy python3-torch
bench: build ## speed and memory, as ratios against peers in the same run
	./bin/t2 bench

# Headless Chromium; the peer comes from npm, pinned in package.json, and nothing that ships uses it.
BROWSER_BENCH = native/bench/browser
bench-browser: site ## the page's speed, and its engine's against llama.cpp in WebAssembly (wllama)
	@$(call NPM,$(BROWSER_BENCH))
	go run ./$(BROWSER_BENCH) --wasm-exec "$$(go env GOROOT)/lib/wasm/wasm_exec.js"

# llama.cpp's prebuilt libraries come from npm, pinned in package.json, and a C compiler builds their
# driver; nothing that ships uses them. ARGS: --quick, --json, --shapes 15M, --formats q8_0 ...
bench-native: build ## speed and memory on the CPU against llama.cpp, the same GGUFs in turns
	@$(call NPM,$(LLAMACPP))
	go run ./native/bench/native $(ARGS)

zoo: build ## retrain every model and expert that ships (hours)
	./shared/zoo/make.sh bin/t2

generate: ## write generated assembly and pages anew
	go -C kernels/cpu/asm run .
	go generate ./web

check: ## formatting, vet, staticcheck, generated files, import directions
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt"; exit 1; }
	go vet ./...
	GOOS=js GOARCH=wasm go vet ./shared/... ./kernels ./kernels/cpu ./kernels/webgpu ./wasm
	@for os in darwin windows freebsd; do echo "GOOS=$$os go vet ./native/... ./kernels/webgpu"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=amd64 go vet ./native/... ./kernels/webgpu || exit 1; done
	go run $(STATICCHECK) ./...
	go -C kernels/cpu/asm run . -check
	@cd web && go tool templ generate -f page.templ -stdout 2>/dev/null | diff -q - page_templ.go || \
		{ echo "web: run make generate"; exit 1; }
