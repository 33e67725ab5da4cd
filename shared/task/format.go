package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// format is a way in which files hold questions.
type format struct {
	name, doc, label string
	maxTokens        int
	check            Check               // how its answers are judged; "": each item says it
	fields           string              // by which it is recognised, for people
	is               func(r record) bool // whether an item has them
	parse            func(r record, it *Item) error
}

// formats are looked at in order: the first that fits an item is its format.
var formats = []format{gsm8kFormat, mathFormat, arcFormat, mbppFormat, humanEvalFormat, ownFormat}

// FormatNames lists the formats of files.
func FormatNames() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

func formatOf(name string) *format {
	for i := range formats {
		if formats[i].name == name {
			return &formats[i]
		}
	}
	return nil
}

// Purpose is what an expert of a task is for: the label of a format's files, of any other task its
// name.
func Purpose(taskName string) string {
	name, _, found := strings.Cut(taskName, ":")
	if f := formatOf(name); found && f != nil && f.label != LabelOther {
		return f.label
	}
	return taskName
}

// recognise finds the format of an item by its fields.
func recognise(r record) (*format, error) {
	for i := range formats {
		if formats[i].is(r) {
			return &formats[i], nil
		}
	}
	var known []string
	for _, f := range formats {
		known = append(known, f.name+" "+f.fields)
	}
	return nil, fmt.Errorf("fields %.200q are of no known format: want %s",
		slices.Sorted(maps.Keys(r)), strings.Join(known, ", "))
}

// record is an item as it lies in a file.
type record map[string]json.RawMessage

// has reports whether all of the fields are there.
func (r record) has(names ...string) bool {
	for _, n := range names {
		if v, ok := r[n]; !ok || string(v) == "null" {
			return false
		}
	}
	return true
}

// read reads a field into v, which wants what; a field that is not there leaves v alone.
func (r record) read(name, what string, v any) error {
	if !r.has(name) {
		return nil
	}
	if err := json.Unmarshal(r[name], v); err != nil {
		return fmt.Errorf("%q is %.60s, want %s", name,
			joined(string(r[name])), what)
	}
	return nil
}

// text is a field that must hold text.
func (r record) text(name string) (string, error) {
	s := ""
	if err := r.read(name, "text", &s); err != nil {
		return "", err
	}
	if strings.TrimSpace(s) == "" {
		return "", fmt.Errorf("%q is not there or empty, want text", name)
	}
	return s, nil
}

// peek is a field's text, "" where it holds none.
func (r record) peek(name string) (s string) {
	_ = r.read(name, "", &s) // what is no text is no text
	return s
}

// texts reads several fields that must hold text.
func (r record) texts(names ...string) (all []string, err error) {
	for _, n := range names {
		s, err := r.text(n)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
