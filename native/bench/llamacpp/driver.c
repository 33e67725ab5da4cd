// Drives llama.cpp's prebuilt libraries for benchmarks and for tests of exactness: reads a request a
// line, "ID VERB ARGS", and answers a line, "ID ok NUMBER... [| TEXT]" or "ID error TEXT".
//
//	open FILE CONTEXT THREADS FLASH CACHE
//	                                  load a model; FLASH 1 or 0: flash attention or not; CACHE 1 or
//	                                  0: keys and values in f16, as it does by default, or in f32
//	quantize FROM TO TYPE             every matrix of a file as llama_ftype TYPE
//	decode BEFORE TOKENS              seconds of TOKENS tokens behind BEFORE, one after the other
//	prefill TOKENS                    seconds of a prompt of TOKENS
//	greedy TOKENS ID...               the ids that follow a prompt
//	logits FILE ID...                 writes the logits at every position to FILE, f32
//	blocks TYPE FROM PACKED TO N      N numbers, f32, to blocks of ggml's TYPE and back
//	about                             its version
//
// The package has no headers. What is declared here is of release v0.5.0; structures are passed by
// value and their places checked by their default values.
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Longer than the parameters of any version: the callee reads and writes only what it knows.
typedef union {
	int32_t i[256];
	uint8_t b[1024];
} params;

typedef struct {
	int32_t n_tokens;
	int32_t *token;
	float *embd;
	int32_t *pos, *n_seq_id, **seq_id;
	int8_t *logits;
} batch;

typedef struct {
	const char *name;
	int64_t block, interleave;
	size_t bytes;
	bool quantized;
	void (*to_float)(const void *x, float *y, int64_t k);
} traits;

extern params llama_model_default_params(void), llama_context_default_params(void),
	llama_model_quantize_default_params(void);
extern void llama_backend_init(void), llama_log_set(void *, void *), *llama_get_memory(void *),
	llama_memory_clear(void *, bool), llama_synchronize(void *), llama_free(void *),
	llama_model_free(void *), llama_set_n_threads(void *, int32_t, int32_t), ggml_backend_load_all_from_path(const char *);
extern void *llama_model_load_from_file(const char *, params), *llama_init_from_model(void *, params);
extern bool llama_memory_seq_rm(void *, int32_t, int32_t, int32_t);
extern uint32_t llama_model_quantize(const char *, const char *, const params *);
extern const void *llama_model_get_vocab(void *);
extern int32_t llama_vocab_n_tokens(const void *), llama_decode(void *, batch);
extern float *llama_get_logits_ith(void *, int32_t);
extern const char *llama_version(void);
extern const traits *ggml_get_type_traits(int);
extern size_t ggml_quantize_chunk(int, const float *, void *, int64_t, int64_t, int64_t, const float *);

// Places in a context's parameters, and in quantization's, where those after the first count bytes.
enum { n_ctx = 0, n_batch = 1, n_ubatch = 2, flash_attn = 13, type_k = 26, type_v = 27 };
enum { q_type = 1, q_again = 16, q_output = 17, q_pure = 19 };
enum { max_ids = 4096 };

static void *model, *ctx;
static int32_t vocab;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void quiet(int level, const char *text, void *user) {
	if (level == 4) fputs(text, stderr); // errors
}

// feed runs n tokens; all: with logits at every position.
static bool feed(int32_t *ids, int n, int from, bool all) {
	static int32_t pos[max_ids], one[max_ids], zero, *seq[max_ids];
	static int8_t want[max_ids];
	for (int i = 0; i < n; i++) {
		pos[i] = from + i, one[i] = 1, seq[i] = &zero, want[i] = all || i == n - 1;
	}
	batch b = {n, ids, NULL, pos, one, seq, want};
	return llama_decode(ctx, b) == 0;
}

static int32_t best(int at) {
	float *l = llama_get_logits_ith(ctx, at);
	int32_t b = 0;
	for (int32_t i = 1; i < vocab; i++) if (l[i] > l[b]) b = i;
	return b;
}

// prompt is n ids that depend on nothing but n.
static int32_t *prompt(int n) {
	static int32_t ids[max_ids];
	uint32_t x = 1;
	for (int i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		ids[i] = x / 256 % vocab;
	}
	return ids;
}

static const char *open_model(const char *file, int context, int threads, int flash, int cache) {
	if (ctx) llama_free(ctx);
	if (model) llama_model_free(model);
	ctx = model = NULL;
	params c = llama_context_default_params();
	if (c.i[n_ctx] != 512 || c.i[n_batch] != 2048 || c.i[n_ubatch] != 512 || c.i[flash_attn] != -1 ||
	    c.i[type_k] != 1 || c.i[type_v] != 1)
		return "another version of llama.cpp than this was written for";
	c.i[n_ctx] = context;
	c.i[flash_attn] = flash;
	c.i[type_k] = c.i[type_v] = cache;
	if (!(model = llama_model_load_from_file(file, llama_model_default_params())))
		return "the model does not load";
	if (!(ctx = llama_init_from_model(model, c))) return "no context";
	llama_set_n_threads(ctx, threads, threads);
	vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
	return NULL;
}

static void clear(void) { llama_memory_clear(llama_get_memory(ctx), true); }

// decode takes tokens that are known beforehand: nothing of the time is for choosing them.
static const char *decode(int before, int tokens, double *seconds) {
	int32_t *ids = prompt(before + tokens);
	clear();
	if (before && !feed(ids, before, 0, false)) return "the prompt was not taken";
	llama_synchronize(ctx);
	double begin = now();
	for (int i = before; i < before + tokens; i++)
		if (!feed(ids + i, 1, i, false) || !llama_get_logits_ith(ctx, -1)) return "a token was not taken";
	*seconds = now() - begin;
	return NULL;
}

static const char *prefill(int tokens, double *seconds) {
	clear();
	llama_synchronize(ctx);
	double begin = now();
	if (!feed(prompt(tokens), tokens, 0, false) || !llama_get_logits_ith(ctx, -1))
		return "the prompt was not taken";
	*seconds = now() - begin;
	return NULL;
}

static const char *greedy(int tokens, int32_t *ids, int n) {
	clear();
	if (n + tokens > max_ids) return "too many tokens";
	for (int from = 0; from < n;) { // ids[from, n) are not in the cache yet
		if (!feed(ids + from, n - from, from, false)) return "the tokens were not taken";
		from = n;
		if (tokens-- > 0) printf(" %d", ids[n++] = best(-1));
	}
	return NULL;
}

static const char *logits(const char *file, int32_t *ids, int n) {
	clear();
	if (!feed(ids, n, 0, true)) return "the tokens were not taken";
	FILE *f = fopen(file, "wb");
	if (!f) return "the file does not open";
	size_t wrote = 0;
	for (int i = 0; i < n; i++) wrote += fwrite(llama_get_logits_ith(ctx, i), 4, vocab, f);
	return fclose(f) || wrote != (size_t)n * vocab ? "the file is not whole" : NULL;
}

static const char *quantize(const char *from, const char *to, int type) {
	params q = llama_model_quantize_default_params();
	if (q.i[q_type] != 7 || q.b[q_output] != 1)
		return "another version of llama.cpp than this was written for";
	q.i[q_type] = type;
	q.b[q_pure] = q.b[q_again] = 1; // all matrices, also those that are quantized already
	return llama_model_quantize(from, to, &q) ? "it is not quantized" : NULL;
}

static const char *blocks(int type, const char *from, const char *packed, const char *to, int n) {
	const traits *t = ggml_get_type_traits(type);
	float *x = malloc(4 * (size_t)n), *y = malloc(4 * (size_t)n);
	size_t bytes = n / t->block * t->bytes;
	void *q = malloc(bytes);
	FILE *f = fopen(from, "rb");
	bool ok = f && fread(x, 4, n, f) == (size_t)n;
	if (f) fclose(f);
	ok = ok && ggml_quantize_chunk(type, x, q, 0, 1, n, NULL) == bytes;
	if (ok) t->to_float(q, y, n);
	ok = ok && (f = fopen(packed, "wb")) && fwrite(q, 1, bytes, f) == bytes && !fclose(f);
	ok = ok && (f = fopen(to, "wb")) && fwrite(y, 4, n, f) == (size_t)n && !fclose(f);
	free(x), free(y), free(q);
	return ok ? NULL : "a file is not whole";
}

// about is the version, and which of the forms for this processor it chose.
static const char *about(void) {
	static char text[256], line[4096];
	const char *form = "";
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && !*form && fgets(line, sizeof line, maps)) {
		char *at = strstr(line, "libggml-cpu-"), *end = at ? strchr(at, '.') : NULL;
		if (end) *end = 0, form = at + strlen("libggml-cpu-");
	}
	snprintf(text, sizeof text, "%s %.40s", llama_version(), form);
	if (maps) fclose(maps);
	return text;
}

// serve answers one request, but for its id; NULL if it was answered.
static const char *serve(char *line) {
	static char a[4096], b[4096], c[4096];
	static int32_t ids[max_ids];
	int x, y, z, k, n = 0, at = 0;
	double seconds = 0;
	const char *wrong = "a request that is not known";
	if (sscanf(line, "open %4095s %d %d %d %d", a, &x, &y, &z, &k) == 5)
		wrong = open_model(a, x, y, z, k);
	else if (sscanf(line, "quantize %4095s %4095s %d", a, b, &x) == 3)
		wrong = quantize(a, b, x);
	else if (sscanf(line, "blocks %d %4095s %4095s %4095s %d", &x, a, b, c, &y) == 5)
		wrong = blocks(x, a, b, c, y);
	else if (!ctx && strncmp(line, "about", 5))
		wrong = "no model is open";
	else if (sscanf(line, "decode %d %d", &x, &y) == 2 && x + y <= max_ids)
		wrong = decode(x, y, &seconds);
	else if (sscanf(line, "prefill %d", &x) == 1 && x <= max_ids)
		wrong = prefill(x, &seconds);
	else if (sscanf(line, "greedy %d%n", &x, &at) == 1 || sscanf(line, "logits %4095s%n", a, &at) == 1) {
		for (char *end, *p = line + at; n < max_ids; p = end) {
			ids[n] = strtol(p, &end, 10);
			if (p == end) break;
			n++;
		}
		bool continues = line[0] == 'g';
		if (continues) printf("ok");
		wrong = continues ? greedy(x, ids, n) : logits(a, ids, n);
		if (continues && !wrong) return NULL;
	} else if (!strncmp(line, "about", 5))
		return printf("ok | %s", about()), NULL;
	if (!wrong) printf("ok %.9g", seconds);
	return wrong;
}

int main(int argc, char **argv) {
	if (argc != 2) return 2;
	llama_log_set((void *)quiet, NULL);
	ggml_backend_load_all_from_path(argv[1]);
	llama_backend_init();
	char *line = NULL;
	size_t room = 0;
	while (getline(&line, &room, stdin) > 0) {
		char *rest = strchr(line, ' ');
		if (!rest) continue;
		*rest++ = 0;
		printf("%s ", line);
		const char *wrong = serve(rest);
		if (wrong) printf("error %s", wrong);
		puts("");
		fflush(stdout);
	}
	return 0;
}
