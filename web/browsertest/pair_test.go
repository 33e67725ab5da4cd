package browsertest

import (
	"strings"
	"testing"
	"time"
)

// engines makes, in the page, an engine of its own and a pair of them, and gives what each says to
// the same requests. The second engine of a pair is made by the expression `make`.
const engines = `
	const from = document.querySelector("script[type=module]").src;
	const { Engine, inWorker } = await import(new URL("engine.js", from));
	const { Pair } = await import(new URL("pair.js", from));
	const manifest = await (await fetch("manifest.json")).json();
	const make = () => new Engine(inWorker(manifest, document.baseURI, () => {}));
	const ask = { maxTokens: 48, top: 3,
		prompt: "Mia has 34 nuts. Eve has 11 more. How many nuts is that for Eve?",
		sampling: { temperature: 0.9, topK: 0, topP: 1, minP: 0 }, seed: 7, score: true };
	const heard = async (engine, body) => {
		const said = { events: {} };
		said.result = await engine.request("generate", body, { onEvent: (type, e) => {
			const { seconds, switchMs, ...rest } = e; // whoever measured them
			if (type !== "progress") (said.events[type + (e.voice ?? "")] ??= []).push(rest);
		} });
		return JSON.stringify([Object.entries(said.events).sort(), said.result]);
	};
	const wait = async (ok) => {
		for (let i = 0; i < 600 && !ok(); i++) await new Promise((f) => setTimeout(f, 50));
		return ok();
	};
`

// Two workers say what one says, the visitor's own experts and both orders of voices included.
func TestTwoWorkersSayWhatOneSays(t *testing.T) {
	p := follow(t, "")
	diff := js[string](p, `(async () => {`+engines+`
		const one = make(), pair = new Pair(make(), make);
		for (const e of [one, pair]) await e.request("load", { model: "tako" });
		if (pair.workers !== 1) return "a second worker before the first has answered";
		await pair.request("generate", { ...ask, voices: [{}, { expert: "math" }] });
		if (!await wait(() => pair.workers === 2)) return "no second worker";
		const train = { name: "mine", task: "polite", reward: "brief", steps: 1, prompts: 2, samples: 2,
			rate: 0.02, kl: 0.02,
			temperature: 1, scope: "all", seed: 1, evalEvery: 10, evalItems: 2 };
		for (const e of [one, pair]) await e.request("train", train);
		const mine = { expert: "mine" };
		for (const voices of [[{}, { expert: "math" }], [{}, mine], [mine, {}],
			[{ mix: [{ expert: "mine", alpha: 0.5 }] }, { expert: "code" }],
			[{}, { expert: "math" }, { expert: "code" }]]) {
			for (const score of [true, false]) {
				const body = { ...ask, voices, score };
				const a = await heard(one, body), b = await heard(pair, body);
				if (a !== b) return JSON.stringify(voices) + ":\n" + a + "\n" + b;
			}
		}
		if (pair.workers !== 2) return "the second worker is gone";
		one.close(); pair.close();
		return "";
	})()`)
	if diff != "" {
		t.Error(diff)
	}
}

// A second worker that cannot start, or that ends while it speaks, is not missed.
func TestSecondWorkerFails(t *testing.T) {
	p := follow(t, "")
	wrong := js[string](p, `(async () => {`+engines+`
		const body = { ...ask, voices: [{}, { expert: "math" }] };
		const first = make();
		await first.request("load", { model: "tako" });
		const want = await heard(first, body);
		const none = new Pair(first, () => { throw new Error("no memory"); });
		await none.request("load", { model: "tako" });
		for (let i = 0; i < 2; i++) {
			if (await heard(none, body) !== want) return "without a second worker";
		}
		if (none.workers !== 1) return "a worker that is none";
		const broken = new Pair(first, () => {
			const t = inWorker(manifest, document.baseURI, () => {});
			const send = t.send;
			const crash = () => { t.close(); t.onfail("it crashed"); };
			t.send = (text) => { send(text); if (text.includes("generate")) setTimeout(crash, 40); };
			return new Engine(t);
		});
		await broken.request("load", { model: "tako" });
		await broken.request("generate", body);
		if (!await wait(() => broken.workers === 2)) return "no second worker";
		if (await heard(broken, body) !== want) return "with a worker that ends";
		if (await heard(broken, body) !== want) return "after a worker that ended";
		if (!await wait(() => broken.workers === 1)) return "a worker that ended is still counted";
		first.close();
		return "";
	})()`)
	if wrong != "" {
		t.Error(wrong)
	}
}

// A comparison that is cancelled ends in both workers, and the next one is answered.
func TestCancelEndsBoth(t *testing.T) {
	p := follow(t, "")
	wrong := js[string](p, `(async () => {`+engines+`
		const pair = new Pair(make(), make);
		await pair.request("load", { model: "tako" });
		const body = { ...ask, voices: [{}, { expert: "math" }] };
		await pair.request("generate", body);
		if (!await wait(() => pair.workers === 2)) return "no second worker";
		const end = new AbortController();
		const voices = new Set();
		const endless = { ...body, maxTokens: 400, sampling: { ...ask.sampling, temperature: 4 } };
		const code = await pair.request("generate", endless, { signal: end.signal, onEvent: (type, e) => {
			voices.add(e.voice);
			if (voices.size === 2) end.abort();
		} }).then(() => "none", (e) => e.code);
		if (code !== "cancelled") return "it ended with " + code;
		const begin = performance.now();
		await pair.request("generate", { ...body, maxTokens: 4 });
		const ms = performance.now() - begin;
		pair.close();
		return ms > 5000 ? "the next answer took " + ms : "";
	})()`)
	if wrong != "" {
		t.Error(wrong)
	}
}

// The page itself uses both, and says so.
func TestStripCountsWorkers(t *testing.T) {
	p := follow(t, "#"+question)
	if js[int](p, `navigator.hardwareConcurrency`) < 2 {
		t.Skip("one processor")
	}
	p.answered()
	for end := time.Now().Add(patience); !strings.Contains(p.text("#strip"), "2 workers"); {
		if time.Now().After(end) {
			t.Fatalf("the strip says: %s", p.text("#strip"))
		}
		p.click("#run")
		time.Sleep(time.Second)
	}
}

// While the first worker trains, the second answers; should it end, the first answers in its turn.
func TestAnswersWhileTraining(t *testing.T) {
	p := follow(t, "")
	wrong := js[string](p, `(async () => {`+engines+`
		const body = { ...ask, voices: [{}, { expert: "math" }] };
		const train = { name: "mine", task: "polite", reward: "brief", steps: 400, prompts: 4, samples: 4,
			rate: 0.02, kl: 0.02,
			temperature: 1, scope: "all", seed: 1, evalEvery: 400, evalItems: 2 };
		let second = null;
		const pair = new Pair(make(), () => {
			second = inWorker(manifest, document.baseURI, () => {});
			return new Engine(second);
		});
		await pair.request("load", { model: "tako" });
		const want = await heard(pair, body);
		let trained = false;
		const training = pair.request("train", train);
		training.then(() => { trained = true; });
		if (!await wait(() => pair.workers === 2)) return "no second worker";
		const got = await heard(pair, body);
		if (trained) return "the answer waited for the training";
		if (got !== want) return got + "\n" + want;
		const asked = heard(pair, body);
		second.close();
		second.onfail("it crashed");
		pair.control(training.id, "cancel");
		if (await asked !== want) return "after a worker that ended";
		pair.close();
		return "";
	})()`)
	if wrong != "" {
		t.Error(wrong)
	}
}
