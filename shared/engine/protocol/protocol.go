// Package protocol is what a face says to an engine and hears from it: the page to a Web Worker or
// to a server, one JSON message at a time. Both ends run the same messages, and a page cannot tell
// which engine it talks to.
//
// A face sends a Request; the engine answers with any number of Events that carry the request's id,
// and closes it with exactly one of result or error. Work runs one request at a time, in the order
// in which requests arrive; control and hello are answered at once, whatever runs.
//
//	request   body            events before the end           result
//	hello     –               –                               Hello
//	load      Load            progress (bytes, tensors)       Loaded
//	generate  Generate        token, answer, scores           Compared
//	next      Next            –                               Distributions
//	heat      Heat            –                               HeatMap
//	spectrum  SpectrumOf      –                               Spectrum
//	classify  Classify        –                               Classified
//	adapt     Adapt           classified, token, answer       Adapted
//	search    Search          generation                      Found
//	train     Train           step, sample                    Trained
//	evaluate  Evaluate        progress (answers)              Evaluated
//	question  Question        –                               Asked
//	tokenize  Tokenize        –                               Tokenized
//	import    Import          –                               Expert
//	export    Export          –                               File
//	forget    Forget          –                               –
//	control   Control         –                               –
//
// Whatever needs the singular bases first decomposes the model, with progress (matrices).
// Numbers are JSON numbers; a logarithm of zero is −1e30, never a word. Texts are UTF-8.
package protocol

import "encoding/json"

// Version of the messages. An engine refuses a request of another one.
const Version = 1

// Request is one message from a face.
type Request struct {
	V    int             `json:"v"`
	ID   int64           `json:"id"` // chosen by the face, unique among its open requests
	Type string          `json:"type"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Event is one message from an engine.
type Event struct {
	V    int    `json:"v"`
	ID   int64  `json:"id"`
	Type string `json:"type"`
	Body any    `json:"body,omitempty"`
}

// Types of requests.
const (
	TypeHello    = "hello"
	TypeLoad     = "load"
	TypeGenerate = "generate"
	TypeNext     = "next"
	TypeHeat     = "heat"
	TypeSpectrum = "spectrum"
	TypeClassify = "classify"
	TypeAdapt    = "adapt"
	TypeSearch   = "search"
	TypeTrain    = "train"
	TypeEvaluate = "evaluate"
	TypeQuestion = "question"
	TypeTokenize = "tokenize"
	TypeImport   = "import"
	TypeExport   = "export"
	TypeForget   = "forget"
	TypeControl  = "control"
)

// Types of events.
const (
	EventResult     = "result"     // closes a request
	EventError      = "error"      // closes a request: an Error
	EventProgress   = "progress"   // Progress
	EventToken      = "token"      // Token
	EventAnswer     = "answer"     // Answer
	EventScores     = "scores"     // Scores
	EventClassified = "classified" // Classified
	EventGeneration = "generation" // Generation
	EventStep       = "step"       // Step
	EventSample     = "sample"     // Sample
)

// Codes of errors.
const (
	CodeBadRequest = "bad-request" // the request cannot be meant: nothing was done
	CodeCancelled  = "cancelled"   // by control; what was sent before stands
	CodeNoModel    = "no-model"    // load comes first
	CodeVersion    = "version"     // of another Version
	CodeInternal   = "internal"    // a fault of the engine
	CodeBusy       = "busy"        // others use the engine, or another model on it: later it may do
)

// Error ends a request. Message is one sentence for people.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Limits that an engine holds a face to. What is longer is refused, never cut.
const (
	MaxRequestBytes = 32 << 20 // of a whole message, files included
	MaxPromptBytes  = 16 << 10 // of a prompt, a system text or an example
	MaxVoices       = 4        // of one request
	MaxTop          = 50       // alternatives of a token
	MaxStops        = 64       // texts that end an answer
	MaxShots        = 64       // examples of a search
	MaxEdits        = 4096     // of one voice
)

// Hello says who is there.
type Hello struct {
	Version int      `json:"version"`
	Engine  string   `json:"engine"` // "wasm" or "native"
	Kernel  string   `json:"kernel"` // form of the arithmetic: "simd", "loops", "avx512"
	Reason  string   `json:"reason"` // why that one, a sentence
	Threads int      `json:"threads"`
	Models  []string `json:"models"` // that load takes
}

// Load makes a model the one that all later requests speak of.
type Load struct {
	Model   string `json:"model"`
	Weights string `json:"weights,omitempty"` // f32, f16, bf16, q8 or q4; "": the engine chooses
}

// Progress of something that takes time. Total is 0 where it is not known.
type Progress struct {
	Stage string `json:"stage"` // "fetch", "load", "decompose", "adapt", "answers"
	Unit  string `json:"unit"`  // "bytes", "tensors", "matrices", "answers"
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Loaded describes the model.
type Loaded struct {
	Model       string   `json:"model"`
	Fingerprint string   `json:"fingerprint"`
	Params      int      `json:"params"`
	Layers      int      `json:"layers"`
	Dim         int      `json:"dim"`
	Hidden      int      `json:"hidden"`
	Heads       int      `json:"heads"`
	KVHeads     int      `json:"kvHeads"`
	Vocab       int      `json:"vocab"`
	Context     int      `json:"context"`
	Weights     string   `json:"weights"` // how they are held: "f32", "bf16", "q8"
	Experts     []Expert `json:"experts"`
	Matrices    []Matrix `json:"matrices"`
	Tasks       []Task   `json:"tasks"`
	Rewards     []string `json:"rewards"` // that train takes without a task; says:WORD besides
}

// Expert describes a z-vector.
type Expert struct {
	Name     string  `json:"name"`
	Task     string  `json:"task"`
	Numbers  int     `json:"numbers"` // of z
	Seed     uint64  `json:"seed"`
	Method   string  `json:"method"`   // "reinforce", "next-token"; "" unknown
	Step     int     `json:"step"`     // of its training
	Accuracy float64 `json:"accuracy"` // on validation items, 0 … 1; −1 unknown
	Shipped  bool    `json:"shipped"`  // it came with the model
}

// Matrix is one adapted weight.
type Matrix struct {
	Name  string `json:"name"`
	Layer int    `json:"layer"`
	Role  string `json:"role"` // q k v o gate up down
	Out   int    `json:"out"`
	In    int    `json:"in"`
	R     int    `json:"r"`
}

// Task is a task of the suite.
type Task struct {
	Name   string `json:"name"`
	Label  string `json:"label"` // what the first pass should find
	Doc    string `json:"doc"`
	Unseen bool   `json:"unseen"` // no expert was trained on it
}

// Voice is who answers. Its z is made in this order: Expert, or Mix, or else the base (z = 1); then
// Control; then Keep; then Edits.
type Voice struct {
	Expert  string  `json:"expert,omitempty"` // "" or "base": the base
	Mix     []Share `json:"mix,omitempty"`    // z = 1 + Σ α (z − 1)
	Control string  `json:"control,omitempty"`
	Seed    uint64  `json:"seed,omitempty"` // of the control
	Keep    []Keep  `json:"keep,omitempty"`
	Edits   []Edit  `json:"edits,omitempty"`
}

// Controls: what any change of z of the same size does.
const (
	ControlRandom   = "random"   // z = 1 + s·N(0,1) in each matrix, s so that its mean |z−1| stays
	ControlShuffled = "shuffled" // the same numbers in another order within each matrix
)

// Share is one expert of a mixture.
type Share struct {
	Expert string  `json:"expert"`
	Alpha  float64 `json:"alpha"`
}

// Keep sets z to 0 for all but the Top largest singular values of a matrix.
type Keep struct {
	Matrix string `json:"matrix"`
	Top    int    `json:"top"`
}

// Edit sets one number of z.
type Edit struct {
	Matrix string  `json:"matrix"`
	Index  int     `json:"index"` // from 0, the largest singular value
	Z      float64 `json:"z"`
}

// Sampling says how a token is drawn from its distribution; zero is greedy.
type Sampling struct {
	Temperature float64 `json:"temperature"`
	TopK        int     `json:"topK"`
	TopP        float64 `json:"topP"`
	MinP        float64 `json:"minP"`
}

// Turn is an earlier message of a conversation.
type Turn struct {
	Role string `json:"role"` // "user" or "assistant"
	Text string `json:"text"`
}

// Generate answers a prompt as each voice in turn, with the same seed.
type Generate struct {
	Prompt    string   `json:"prompt"`
	System    string   `json:"system,omitempty"`
	History   []Turn   `json:"history,omitempty"`
	Voices    []Voice  `json:"voices"`
	MaxTokens int      `json:"maxTokens"`
	Sampling  Sampling `json:"sampling"`
	Stop      []string `json:"stop,omitempty"`
	Seed      uint64   `json:"seed"`
	Top       int      `json:"top"` // alternatives to send with a token
	// Score has the first two voices judge each other's answers, token by token after the same
	// words (teacher forcing): two Scores.
	Score bool `json:"score,omitempty"`
}

// Token is one step of an answer.
type Token struct {
	Voice   int    `json:"voice"` // index of the request's voices
	Index   int    `json:"index"` // in the answer
	ID      int32  `json:"id"`
	Text    string `json:"text"` // the characters that it completed; "" inside one
	Choice         // what it was drawn from
	Closing bool   `json:"closing,omitempty"` // it ends the answer and is not part of it
}

// Choice is a distribution over the next token, before temperature: what was taken and what else
// there was.
type Choice struct {
	LogProb float64       `json:"logProb"` // of the token taken; natural logarithm
	Entropy float64       `json:"entropy"` // of the whole distribution, nats
	Top     []Alternative `json:"top"`     // likeliest first
}

// Alternative is a token that could be next.
type Alternative struct {
	ID      int32   `json:"id"`
	Text    string  `json:"text"`
	LogProb float64 `json:"logProb"`
}

// Answer ends what a voice said.
type Answer struct {
	Voice        int     `json:"voice"`
	Text         string  `json:"text"`
	Tokens       int     `json:"tokens"`
	Reason       string  `json:"reason"` // stop, length, context, cancelled
	PromptTokens int     `json:"promptTokens"`
	Dropped      int     `json:"dropped"`  // turns of the history that did not fit
	Seconds      float64 `json:"seconds"`  // of the answer, without making the voice's weights
	SwitchMS     float64 `json:"switchMs"` // of making them: W' = U diag(σ∘z) Vᵀ
}

// Scores are one voice's answer as another sees it: what that one would have said after the same
// words. The closing token is the last.
type Scores struct {
	Voice   int     `json:"voice"`   // whose answer
	Against int     `json:"against"` // who judges
	Tokens  []Score `json:"tokens"`
}

// Score is one token of an answer in the judge's eyes.
type Score struct {
	Choice
	KL float64 `json:"kl"` // D(speaker ‖ judge) of the next token, nats
}

// Compared closes a generate.
type Compared struct {
	// FirstDifference is the index of the first token that the first two answers do not share; −1
	// where they are the same, or where there is one voice.
	FirstDifference int `json:"firstDifference"`
}

// Next asks for the distribution of the token that follows a prompt and the beginning of an answer.
type Next struct {
	Prompt string  `json:"prompt"`
	Answer string  `json:"answer,omitempty"`
	Voices []Voice `json:"voices"`
	Top    int     `json:"top"`
}

// Distributions are a Choice a voice (LogProb that of the likeliest), and how far each is from the
// first.
type Distributions struct {
	Voices []Distribution `json:"voices"`
	MS     float64        `json:"ms"`
}

// Distribution is one voice's.
type Distribution struct {
	Choice
	KL float64 `json:"kl"` // D(this ‖ first voice), nats
}

// Heat asks where a voice differs from the base.
type Heat struct {
	Voice Voice `json:"voice"`
}

// HeatMap has a cell a matrix, in the order of Loaded.Matrices.
type HeatMap struct {
	Cells []Cell `json:"cells"`
}

// Cell is the size of z in one matrix.
type Cell struct {
	Matrix  string  `json:"matrix"`
	MeanAbs float64 `json:"meanAbs"` // mean |z − 1|
	L2      float64 `json:"l2"`      // |z − 1|
	Min     float64 `json:"min"`     // of z
	Max     float64 `json:"max"`
}

// SpectrumOf asks for the singular values of a matrix and a voice's z there.
type SpectrumOf struct {
	Matrix string `json:"matrix"`
	Voice  Voice  `json:"voice"`
}

// Spectrum answers it.
type Spectrum struct {
	Matrix        Matrix    `json:"matrix"`
	Left          bool      `json:"left"` // the basis kept is U, else V
	Sigma         []float64 `json:"sigma"`
	Z             []float64 `json:"z"`
	EffectiveRank float64   `json:"effectiveRank"` // exp of the entropy of σ/Σσ
}

// Ways of the first pass.
const (
	ByNone       = "none"
	ByPrompt     = "prompt"
	ByClassifier = "classifier"
)

// Classify is the first pass alone.
type Classify struct {
	Prompt string `json:"prompt"`
	By     string `json:"by"` // prompt or classifier
}

// Classified is what the first pass found.
type Classified struct {
	Label         string             `json:"label"` // math, code, reasoning or other
	Text          string             `json:"text"`  // the words that it took it from
	Probabilities map[string]float64 `json:"probabilities"`
	Expert        string             `json:"expert"` // who should answer; "base" for other
	System        string             `json:"system"` // the classification prompt
	MS            float64            `json:"ms"`
}

// Adapt reads a prompt, finds its expert and answers with it.
type Adapt struct {
	Prompt    string   `json:"prompt"`
	By        string   `json:"by"`
	MaxTokens int      `json:"maxTokens"`
	Sampling  Sampling `json:"sampling"`
	Seed      uint64   `json:"seed"`
	Top       int      `json:"top"`
	// Override names who answers whatever the first pass finds: an expert, or "base".
	Override string `json:"override,omitempty"`
}

// Adapted closes an adapt.
type Adapted struct {
	Classified Classified `json:"classified"`
	Expert     string     `json:"expert"` // who answered
	Answer     Answer     `json:"answer"`
	Pass1MS    float64    `json:"pass1Ms"`
	Pass2MS    float64    `json:"pass2Ms"`
}

// Shot is an example for a search.
type Shot struct {
	Prompt string `json:"prompt"`
	Answer string `json:"answer"`           // right answer
	Worked string `json:"worked,omitempty"` // a full answer
}

// Search looks for the mixture that answers a few examples best (CEM). The examples are Shots, or
// else K items of a task's validation split.
type Search struct {
	Shots   []Shot   `json:"shots,omitempty"`
	Task    string   `json:"task,omitempty"`
	K       int      `json:"k,omitempty"`
	Held    int      `json:"held,omitempty"` // further items of the task, to show beside
	Experts []string `json:"experts,omitempty"`
	Preset  string   `json:"preset,omitempty"` // default, paper, released-code
	Seed    uint64   `json:"seed"`
	Paused  bool     `json:"paused,omitempty"` // wait for control after each generation
}

// Generation is one round of a search.
type Generation struct {
	Index     int         `json:"index"`
	Most      int         `json:"most"`
	Experts   []string    `json:"experts"` // what the columns of Members stand for
	Members   [][]float64 `json:"members"`
	Values    []float64   `json:"values"` // what the search maximises, a member
	Elites    []int       `json:"elites"`
	Best      []float64   `json:"best"`
	BestValue float64     `json:"bestValue"`
	Held      float64     `json:"held"` // accuracy of the best on examples not shown; −1 without
	Mean      []float64   `json:"mean"`
	Std       []float64   `json:"std"`
	Seconds   float64     `json:"seconds"`
}

// Found closes a search.
type Found struct {
	Alpha   map[string]float64 `json:"alpha"`
	Right   float64            `json:"right"` // share of the shots that its answers get right
	Stopped string             `json:"stopped"`
	Answers int                `json:"answers"` // that were generated or judged
	Seconds float64            `json:"seconds"`
}

// Train trains a z-vector by REINFORCE on a task of the suite, or on a reward over its questions.
type Train struct {
	Name        string  `json:"name"` // of the expert
	Task        string  `json:"task"` // whose questions are asked
	Reward      string  `json:"reward,omitempty"`
	Steps       int     `json:"steps"`
	Prompts     int     `json:"prompts"` // a step
	Samples     int     `json:"samples"` // of each
	Rate        float64 `json:"rate"`
	KL          float64 `json:"kl"`
	Temperature float64 `json:"temperature"`
	Scope       string  `json:"scope"` // all, mlp, attention, …
	Seed        uint64  `json:"seed"`
	EvalEvery   int     `json:"evalEvery"`
	EvalItems   int     `json:"evalItems"`
	Paused      bool    `json:"paused,omitempty"`
}

// Step is one step of a training, or an evaluation of it.
type Step struct {
	Step    int                `json:"step"`
	Steps   int                `json:"steps"`
	Eval    bool               `json:"eval"`
	Metrics map[string]float64 `json:"metrics"` // reward accuracy length kl gradNorm | validAccuracy
	Best    bool               `json:"best"`
	Seconds float64            `json:"seconds"`
}

// Sample is one answer that the policy gave in a step.
type Sample struct {
	Step   int     `json:"step"`
	Prompt string  `json:"prompt"`
	Text   string  `json:"text"`
	Reward float64 `json:"reward"` // 0 … 1
}

// Trained closes a training: the expert is there under its name. A cancelled training ends with a
// Trained too, of the best so far.
type Trained struct {
	Expert  Expert `json:"expert"`
	Stopped bool   `json:"stopped"` // before its steps were done
}

// Evaluate measures a voice on a task.
type Evaluate struct {
	Task  string `json:"task"`
	Split string `json:"split"` // valid or test
	N     int    `json:"n"`
	Seed  uint64 `json:"seed"`
	Voice Voice  `json:"voice"`
}

// Evaluated is an accuracy with its 95 % interval (Wilson).
type Evaluated struct {
	N        int        `json:"n"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
}

// Question asks for an item of a task's test split.
type Question struct {
	Task  string `json:"task"`
	Index int    `json:"index"` // any; taken modulo the split's size
}

// Asked is that item.
type Asked struct {
	Prompt string `json:"prompt"`
	Answer string `json:"answer"`
	Worked string `json:"worked"`
}

// Tokenize cuts a text into tokens.
type Tokenize struct {
	Text string `json:"text"`
}

// Tokenized are they.
type Tokenized struct {
	IDs    []int32  `json:"ids"`
	Pieces []string `json:"pieces"`
}

// Import adds an expert from a file; it must be this model's.
type Import struct {
	Name string `json:"name"`
	Data []byte `json:"data"` // base64 in JSON
}

// Export makes a file of a voice.
type Export struct {
	Name  string `json:"name"`
	Voice Voice  `json:"voice"`
}

// File is a safetensors file.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Forget drops an expert that was imported or trained here.
type Forget struct {
	Expert string `json:"expert"`
}

// Actions of control.
const (
	ActionCancel = "cancel"
	ActionPause  = "pause"
	ActionResume = "resume"
	ActionStep   = "step" // one generation or training step, then pause again
)

// Control speaks of another request that is open.
type Control struct {
	Target int64  `json:"target"`
	Action string `json:"action"`
}
