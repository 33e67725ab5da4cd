package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"golang.org/x/term"
)

// ui is how text looks on one stream: plain, unless the stream is a terminal that wants colour.
type ui struct {
	w     io.Writer
	tty   bool
	width int // columns

	title, name, faint, mark, good, bad lipgloss.Style
}

// Widths of a line, where the terminal does not say or is very wide.
const (
	plainWidth = 80
	mostWidth  = 120
)

// look makes the ui of a stream.
func look(w io.Writer) *ui {
	u := &ui{w: w, tty: terminal(w), width: plainWidth}
	r := lipgloss.NewRenderer(w)
	if !u.tty || os.Getenv("NO_COLOR") != "" {
		r.SetColorProfile(termenv.Ascii)
	}
	if f, ok := w.(*os.File); ok && u.tty {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			u.width = min(width, mostWidth)
		}
	}
	colour := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	u.title, u.faint = r.NewStyle().Bold(true), r.NewStyle().Faint(true)
	u.name, u.good, u.bad = colour("6"), colour("2"), colour("1")
	u.mark = colour("3").Bold(true)
	return u
}

// line prints a formatted line.
func (u *ui) line(format string, args ...any) { fmt.Fprintf(u.w, format+"\n", args...) }

// text is what a model or a file said, safe to show: a terminal would obey control characters.
func (u *ui) text(s string) string {
	if !u.tty {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// table prints rows in columns. Columns whose header begins with > are set to the right.
func (u *ui) table(header []string, rows [][]string) {
	widths := make([]int, len(header))
	right := make([]bool, len(header))
	for j, h := range header {
		header[j], right[j] = strings.CutPrefix(h, ">")
		widths[j] = lipgloss.Width(header[j])
		for _, r := range rows {
			widths[j] = max(widths[j], lipgloss.Width(r[j]))
		}
	}
	put := func(cells []string, style lipgloss.Style) {
		var b strings.Builder
		for j, c := range cells {
			space := strings.Repeat(" ", widths[j]-lipgloss.Width(c))
			if right[j] {
				b.WriteString(space + c)
			} else {
				b.WriteString(c + space)
			}
			b.WriteString("  ")
		}
		u.line("%s", style.Render(strings.TrimRight(b.String(), " ")))
	}
	put(header, u.faint)
	for _, r := range rows {
		put(r, lipgloss.NewStyle())
	}
}

// indent puts every line of text behind a margin and folds it to the width.
func (u *ui) indent(text string, margin int) string {
	pad := strings.Repeat(" ", margin)
	folded := fold(text, max(u.width-margin, 20))
	return pad + strings.ReplaceAll(folded, "\n", "\n"+pad)
}

// fold breaks lines at spaces so that none is wider than width, where that can be done.
func fold(text string, width int) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		for lipgloss.Width(line) > width {
			cut := lastBreak(line, width)
			if cut <= 0 {
				break
			}
			out = append(out, strings.TrimRight(line[:cut], " "))
			line = strings.TrimLeft(line[cut:], " ")
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// lastBreak is the byte of the last space at which the part before fits width, or of the first
// space at all.
func lastBreak(line string, width int) int {
	last := -1
	for i, r := range line {
		if r != ' ' || strings.TrimSpace(line[:i]) == "" {
			continue
		}
		if last >= 0 && lipgloss.Width(line[:i]) > width {
			return last
		}
		last = i
	}
	return last
}

// bar draws value out of most as a bar of up to width cells, in eighths of a cell.
func bar(value, most float64, width int) string {
	if !(value > 0) || !(most > 0) {
		return ""
	}
	eighths := int(min(value/most, 1)*float64(width)*8 + 0.5)
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}

// percent writes a share as a percentage.
func percent(p float64) string { return fmt.Sprintf("%.1f%%", 100*p) }
