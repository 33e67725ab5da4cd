// Two engines as one. In a comparison the second runs ahead with the first voice, so that both
// answers appear at once. An answer is the same whoever gives it, so each token is taken from
// whichever engine has it first, and when the second fails nothing is missing: the first comes to
// that voice too, because judging the answers takes both voices' numbers in one place. While the
// first is at long work, the second answers what is asked meanwhile.

const long = ["train", "search", "evaluate"];
const brief = ["generate", "next", "heat", "spectrum", "classify", "question", "tokenize"];

export class Pair {
  #first;
  #make; // makes the second engine, once the first has answered
  #second = null;
  #ready = false; // the second has the model
  #failed = false;
  #load = null; // the model's request and what it has: {body, shipped}
  #lent = new Set(); // own experts that the second was given
  #twins = new Map(); // a comparison's id -> the second's request, for control
  #working = 0; // long requests of the first

  constructor(first, make) {
    this.#first = first;
    this.#make = make;
  }

  // workers is how many engines answer a comparison.
  get workers() { return this.#ready ? 2 : 1; }

  request(type, body, options) {
    if (type === "load") this.#ready = false; // it has another model until it has this one
    if (this.#ready && this.#working && brief.includes(type) && this.#knows(body)) return this.#instead(type, body, options);
    const both = type === "generate" && body.voices.length > 1 && this.#ready;
    const promise = both ? this.#both(body, options) : this.#first.request(type, body, options);
    promise.then((result) => this.#learn(type, body, result),
      () => { if (type === "load" && this.#second) this.#prepare(); });
    if (long.includes(type)) this.#work(promise);
    return promise;
  }

  close() {
    this.#drop();
    this.#first.close();
  }

  control(target, action) {
    if (target < 0) { this.#second?.control(-target, action); return; }
    this.#first.control(target, action);
    const twin = this.#twins.get(target);
    if (twin) this.#second?.control(twin.id, action);
  }

  // learn keeps the second engine as the first is.
  #learn(type, body, result) {
    if (type === "load") {
      this.#load = { body, shipped: new Set(result.experts.filter((e) => e.shipped).map((e) => e.name)) };
      this.#ready = false;
      this.#lent.clear();
      if (this.#second) this.#prepare();
    } else if (type === "generate" && !this.#second && !this.#failed) this.#prepare();
    else if (type === "import") this.#lent.delete(result.name);
    else if (type === "train") this.#lent.delete(result.expert.name);
    else if (type === "forget") this.#lent.delete(body.expert);
  }

  async #prepare() {
    const load = this.#load;
    try {
      this.#second ??= this.#make();
      await this.#second.request("load", load.body);
      this.#ready = load === this.#load;
    } catch { this.#drop(); }
  }

  #drop() {
    this.#second?.close();
    this.#second = null;
    this.#ready = false;
    this.#failed = true;
  }

  // both has the second engine speak as the first voice while the first speaks as the others.
  #both(body, { onEvent = () => {}, signal } = {}) {
    const [ahead, next, ...rest] = body.voices; // the first engine takes up the other voice first
    const merge = merged(body.voices.length, onEvent);
    const promise = this.#first.request("generate", { ...body, voices: [next, ahead, ...rest] },
      { signal, onEvent: merge([1, 0, ...rest.map((_, i) => i + 2)]) });
    let open = true;
    this.#lend(ahead).then(() => {
      if (!open || !this.#second) return null;
      const twin = this.#second.request("generate", { ...body, voices: [ahead], score: false },
        { onEvent: (...event) => open && merge([0])(...event) });
      this.#twins.set(promise.id, twin);
      return twin;
    }).catch((e) => { if (e.code === "internal") this.#drop(); });
    const end = () => {
      open = false;
      const twin = this.#twins.get(promise.id);
      if (twin) this.#second?.control(twin.id, "cancel"); // nobody listens any more
      this.#twins.delete(promise.id);
    };
    promise.then(end, end);
    return promise;
  }

  // work counts long requests of the first engine, for which it is worth to have a second one.
  #work(promise) {
    this.#working++;
    const end = () => { this.#working--; };
    promise.then(end, end);
    if (!this.#second && !this.#failed && this.#load) this.#prepare();
  }

  // knows tells whether the second engine has every expert that a request speaks of.
  #knows({ voices = [], voice }) {
    const has = (name) => !name || name === "base" || this.#load.shipped.has(name) || this.#lent.has(name);
    return [...voices, voice ?? {}].every((v) => has(v.expert) && (v.mix ?? []).every((m) => has(m.expert)));
  }

  // instead has the second engine answer; its ids are negative here. Should it fail, the first answers
  // in its turn.
  #instead(type, body, { onEvent = () => {}, signal } = {}) {
    const hear = type === "generate" ? merged(body.voices.length, onEvent)(body.voices.map((_, i) => i)) : onEvent;
    const asked = this.#second.request(type, body, { onEvent: hear, signal });
    const promise = asked.catch((e) => {
      if (e.code !== "internal") throw e;
      this.#drop();
      return this.#first.request(type, body, { onEvent: hear, signal });
    });
    promise.id = -asked.id;
    return promise;
  }

  // lend gives the second engine the visitor's own experts that a voice is made of.
  async #lend(voice) {
    const names = [voice.expert, ...(voice.mix ?? []).map((m) => m.expert)];
    for (const name of new Set(names.filter((n) => n && n !== "base"))) {
      if (this.#load.shipped.has(name) || this.#lent.has(name)) continue;
      const file = await this.#first.request("export", { name, voice: { expert: name } });
      await this.#second.request("import", { name, data: file.data });
      this.#lent.add(name);
    }
  }
}

// merged makes listeners to several engines that answer one request: what one of them has said the
// others' repetition adds nothing to. A listener is told which voices of the request its engine's
// are.
function merged(n, onEvent) {
  const said = Array(n).fill(0), answered = Array(n).fill(false);
  return (voices) => (type, e) => {
    const voice = voices[e.voice];
    if (type === "token") {
      if (e.index !== said[voice]) return;
      said[voice]++;
    } else if (type === "answer") {
      if (answered[voice]) return;
      answered[voice] = true;
    } else if (type !== "scores") { onEvent(type, e); return; }
    onEvent(type, { ...e, voice, ...(type === "scores" ? { against: voices[e.against] } : {}) });
  };
}
