package tokenizer

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// TrainOptions say what vocabulary Train makes.
type TrainOptions struct {
	VocabSize int      // ids in all: 256 bytes, merges, specials; at least 256 + len(Specials)
	Specials  []string // names of control tokens, which take the last ids in this order
	// Pattern is the regular expression of the pre-tokenizer; "" is PatternSingleDigit below
	// bigVocab ids and PatternLlama3 from there on.
	Pattern string
}

const (
	// bigVocab is the size from which numbers are split in threes: 1,110 of its tokens are numbers.
	bigVocab = 1 << 16
	// minPairCount is how often a pair must occur to be merged: one occurrence is no pattern.
	minPairCount = 2
)

// Train makes a vocabulary by byte-pair encoding: count the words of texts, start each as its
// bytes, and merge the most frequent adjacent pair until the vocabulary is full. Among equally
// frequent pairs the one whose left, then right token is smallest in bytes comes first, so the
// result depends on the texts alone, not on their order. No token is longer than maxToken. A small
// corpus may run out of pairs that occur twice; then the vocabulary is smaller than asked.
//
// The ids are: 256 bytes in the order of Llama 3's vocabulary, the merges by rank, the specials.
func Train(texts iter.Seq[string], opts TrainOptions) (*Tokenizer, error) {
	if low := 256 + len(opts.Specials); opts.VocabSize < low || opts.VocabSize > maxVocab {
		return nil, fmt.Errorf("tokenizer: train: vocabulary of %d, want %d to %d",
			opts.VocabSize, low, maxVocab)
	}
	pattern := opts.Pattern
	if pattern == "" && opts.VocabSize < bigVocab {
		pattern = PatternSingleDigit
	} else if pattern == "" {
		pattern = PatternLlama3
	}
	pre, err := newPreTokenizer([]stage{{pattern: pattern}})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: train: %w", err)
	}
	tr := newTrainer(countWords(texts, &pre))
	tr.run(opts.VocabSize - len(opts.Specials))
	v := vocabulary{plain: tr.ids, merges: tr.merges, pre: pre}
	for i, name := range opts.Specials {
		v.added = append(v.added, addedToken{int32(len(tr.tokens) + i), name, true})
	}
	t, err := build(v)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: train: %w", err)
	}
	return t, nil
}

// countWords counts the words of all texts.
func countWords(texts iter.Seq[string], pre *preTokenizer) map[string]int64 {
	counts := map[string]*int64{}
	for text := range texts {
		pre.each(text, func(word string) {
			n := counts[word]
			if n == nil {
				n = new(int64)
				counts[strings.Clone(word)] = n // the text itself may be large
			}
			*n++
		})
	}
	out := make(map[string]int64, len(counts))
	for word, n := range counts {
		out[word] = *n
	}
	return out
}

// trainer is the state of a training run.
type trainer struct {
	tokens []string         // raw bytes by id
	ids    map[string]int32 // and back
	merges []pair
	words  []trainWord
	pairs  map[pair]*pairStat
	queue  []ranking // a heap; counts in it may be out of date, but never too low
}

// trainWord is a distinct word: its tokens so far, and how often it occurs.
type trainWord struct {
	ids   []int32
	count int64
}

// pairStat is how often a pair occurs, and in which words (some perhaps no longer).
type pairStat struct {
	count int64
	words []int32
}

// ranking is a pair in the queue.
type ranking struct {
	pair
	count int64
}

// newTrainer starts every word as its bytes.
func newTrainer(counts map[string]int64) *trainer {
	tr := &trainer{ids: map[string]int32{}, pairs: map[pair]*pairStat{}}
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	slices.SortFunc(bytes, func(a, b byte) int { return int(charOfByte[a]) - int(charOfByte[b]) })
	for _, b := range bytes {
		tr.token(string([]byte{b}))
	}
	for word, count := range counts {
		if len(word) < 2 {
			continue
		}
		w := trainWord{make([]int32, len(word)), count}
		for i := range len(word) {
			w.ids[i] = tr.ids[word[i:i+1]]
		}
		tr.words = append(tr.words, w)
		for i := range len(word) - 1 {
			tr.add(pair{w.ids[i], w.ids[i+1]}, int32(len(tr.words)-1))
		}
	}
	for p := range tr.pairs {
		tr.enqueue(p)
	}
	return tr
}

// token enters a new token and returns its id.
func (tr *trainer) token(raw string) int32 {
	id := int32(len(tr.tokens))
	tr.tokens = append(tr.tokens, raw)
	tr.ids[raw] = id
	return id
}

// add counts one more occurrence of p, in a word that may be new to it.
func (tr *trainer) add(p pair, word int32) {
	s := tr.pairs[p]
	if s == nil {
		s = &pairStat{}
		tr.pairs[p] = s
	}
	s.count += tr.words[word].count
	if n := len(s.words); n == 0 || s.words[n-1] != word {
		s.words = append(s.words, word)
	}
}

// enqueue puts a pair into the queue with its present count.
func (tr *trainer) enqueue(p pair) {
	if n := tr.pairs[p].count; n >= minPairCount {
		tr.queue = push(tr.queue, ranking{p, n}, tr.before)
	}
}

// before orders the queue: the most frequent first, then by bytes.
func (tr *trainer) before(a, b ranking) bool {
	if a.count != b.count {
		return a.count > b.count
	}
	if c := strings.Compare(tr.tokens[a.left], tr.tokens[b.left]); c != 0 {
		return c < 0
	}
	return tr.tokens[a.right] < tr.tokens[b.right]
}

// run merges until there are size tokens or no pair is left.
func (tr *trainer) run(size int) {
	for len(tr.tokens) < size && len(tr.queue) > 0 {
		var best ranking
		best, tr.queue = pop(tr.queue, tr.before)
		s := tr.pairs[best.pair]
		if s == nil {
			continue
		}
		if s.count != best.count {
			tr.enqueue(best.pair)
			continue
		}
		if len(tr.tokens[best.left])+len(tr.tokens[best.right]) > maxToken {
			continue
		}
		// The token is new: until now its bytes have merged alike wherever no token crossed their
		// ends, so all of them become it in this step.
		id := tr.token(tr.tokens[best.left] + tr.tokens[best.right])
		tr.merges = append(tr.merges, best.pair)
		tr.replace(best.pair, id)
	}
}

// replace turns every occurrence of p into id and brings the counts up to date.
func (tr *trainer) replace(p pair, id int32) {
	touched := map[pair]bool{}
	for _, word := range tr.pairs[p].words {
		w := &tr.words[word]
		joined := join(w.ids, p, id)
		if len(joined) == len(w.ids) {
			continue
		}
		for i := range len(w.ids) - 1 {
			tr.pairs[pair{w.ids[i], w.ids[i+1]}].count -= w.count
		}
		w.ids = joined
		for i := range len(joined) - 1 {
			q := pair{joined[i], joined[i+1]}
			if q.left != id && q.right != id {
				tr.pairs[q].count += w.count // as before, and listed already
				continue
			}
			tr.add(q, word)
			touched[q] = true
		}
	}
	if tr.pairs[p].count == 0 {
		delete(tr.pairs, p)
	}
	for q := range touched {
		tr.enqueue(q)
	}
}

// join returns ids with every p, from the left, replaced by id; ids itself if there is none.
func join(ids []int32, p pair, id int32) []int32 {
	first := -1
	for i := range len(ids) - 1 {
		if ids[i] == p.left && ids[i+1] == p.right {
			first = i
			break
		}
	}
	if first < 0 {
		return ids
	}
	out := append(make([]int32, 0, len(ids)-1), ids[:first]...)
	for i := first; i < len(ids); i++ {
		if i+1 < len(ids) && ids[i] == p.left && ids[i+1] == p.right {
			out = append(out, id)
			i++
		} else {
			out = append(out, ids[i])
		}
	}
	return out
}
