package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The lists of a tokenizer.json read themselves element by element, so that a hostile file cannot
// make them longer than a vocabulary may be: "[{},{},..." would otherwise cost far more memory
// than it has bytes.
type (
	vocabMap  map[string]int32 // "vocab": token -> id; no token may appear twice
	mergeList [][2]string      // "merges": each "a b" or ["a", "b"]
	addedList []addedJSON      // "added_tokens"
	stepList  []kindJSON       // "pretokenizers"
)

func (v *vocabMap) UnmarshalJSON(data []byte) error {
	*v = vocabMap{}
	return eachElement(data, '{', "vocab", maxVocab, func(d *json.Decoder) error {
		token, err := nextString(d, "vocab")
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		number, ok := value.(json.Number)
		if !ok {
			return fmt.Errorf("token %.40q has id %v, want an integer", token, value)
		}
		id, err := parseID(number)
		if err != nil {
			return fmt.Errorf("token %.40q has %w", token, err)
		}
		if _, again := (*v)[token]; again {
			return fmt.Errorf("token %.40q appears twice in vocab", token)
		}
		(*v)[token] = id
		return nil
	})
}

func (m *mergeList) UnmarshalJSON(data []byte) error {
	*m = nil
	return eachElement(data, '[', "merges", maxMerges, func(d *json.Decoder) error {
		p, err := nextMerge(d)
		if err != nil {
			return fmt.Errorf("merge %d: %w", len(*m), err)
		}
		*m = append(*m, p)
		return nil
	})
}

func (a *addedList) UnmarshalJSON(data []byte) error {
	*a = nil
	return eachElement(data, '[', "added_tokens", maxAdded, func(d *json.Decoder) error {
		var one addedJSON
		err := d.Decode(&one)
		*a = append(*a, one)
		return err
	})
}

func (s *stepList) UnmarshalJSON(data []byte) error {
	*s = nil
	return eachElement(data, '[', "pretokenizers", maxSteps, func(d *json.Decoder) error {
		var one kindJSON
		err := d.Decode(&one)
		*s = append(*s, one)
		return err
	})
}

// eachElement calls read before each of at most limit elements of a JSON list or object; read
// takes the element from d. A JSON null is an empty list.
func eachElement(data []byte, open json.Delim, what string, limit int,
	read func(d *json.Decoder) error) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	first, err := d.Token()
	if err != nil {
		return err
	}
	if first != open {
		return fmt.Errorf("%s does not begin with %v", what, open)
	}
	for n := 0; d.More(); n++ {
		if n == limit {
			return fmt.Errorf("%s has more than %d elements", what, limit)
		}
		if err := read(d); err != nil {
			return err
		}
	}
	return nil
}

// nextString takes a string from d.
func nextString(d *json.Decoder, what string) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%s holds %v, want a string", what, token)
	}
	return text, nil
}

// nextMerge takes one merge from d.
func nextMerge(d *json.Decoder) (p [2]string, err error) {
	const form = `want "a b" or ["a", "b"]`
	first, err := d.Token()
	if err != nil {
		return p, err
	}
	switch first := first.(type) {
	case string:
		left, right, ok := strings.Cut(first, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return p, fmt.Errorf("%.40q, want two tokens and a space between", first)
		}
		return [2]string{left, right}, nil
	case json.Delim:
		for side := range p {
			if first != '[' || !d.More() {
				return p, errors.New(form)
			}
			if p[side], err = nextString(d, "it"); err != nil {
				return p, err
			}
		}
		if d.More() {
			return p, errors.New("more than two tokens")
		}
		_, err = d.Token() // the closing bracket
		return p, err
	}
	return p, errors.New(form)
}

// parseID reads an id: an integer within the vocabulary's bounds.
func parseID(n json.Number) (int32, error) {
	id, err := strconv.ParseInt(n.String(), 10, 32)
	if err != nil || id < 0 || id >= maxVocab {
		return 0, fmt.Errorf("id %.40q, want an integer of 0 to %d", n.String(), maxVocab-1)
	}
	return int32(id), nil
}
