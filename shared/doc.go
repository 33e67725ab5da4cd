// Package shared is the science of Transformer²: one core that compiles to a native binary and to
// WebAssembly, without build tags, without a screen and without a device of its own.
//
//	compute/     the seam: what a device must do, each op documented by the loop it equals
//	linalg/      symmetric eigen-solver and singular bases in f64
//	tokenizer/   byte-level BPE and chat templates
//	checkpoint/  safetensors, GGUF, fingerprints, atomic files; torch/ reads torch.save's
//	llama/       the architecture: forward, backward, kv cache, batched generation
//	sample/      logits -> token
//	svf/         W' = U diag(σ∘z) Vᵀ: decompose, fold, project, mix, expert files
//	task/        the small suite and users' own questions: checkers, rewards, the pre-training corpus
//	answer/      questions -> answers, and accuracy
//	train/       pre-training, next-token training and REINFORCE on z
//	adapt/       the two passes: by prompt, by classifier, by few-shot search
//	engine/      the use cases that terminal, page and server call; protocol/ has the messages of a
//	             page, desk/ serves them, enginetest/ is the suite that any engine must pass
//	zoo/         the models that ship, with the record of how each was made
//
// Imports point one way: kernels/* -> shared/compute; shared/* -> shared/* only; native and wasm ->
// shared and kernels; web -> templ and shared/engine. The test beside this file asserts it.
package shared
