package browsertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const question = "p=Mia+has+34+nuts.+Eve+has+11+more.+How+many+nuts+is+that+for+Eve%3F"

// looks are the ways in which the page is seen.
var looks = []struct{ name, state, forced string }{
	{"light", "theme=light", ""}, {"dark", "theme=dark", ""}, {"contrast", "theme=contrast", ""},
	{"forced", "theme=auto", "active"}, {"chinese", "theme=light&lang=zh", ""},
}

// TestScreens takes pictures of every view, for people to look at, and a lesson's worksheet.
func TestScreens(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Skip("SCREENSHOTS names no folder")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int64{1280, 360} {
		for _, look := range looks {
			p := open(t, "#"+look.state+"&"+question, width, 800)
			p.media("forced-colors", look.forced)
			p.ready()
			for _, view := range views {
				p.fill(view)
				p.furnish(view)
				time.Sleep(900 * time.Millisecond)
				shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				write(t, dir, fmt.Sprintf("%s-%d-%s.png", view, width, look.name), shot)
			}
		}
	}
	p := open(t, "#lesson=dials&step=0", 1280, 800).ready()
	p.do(`window.print = () => {};
		document.querySelector("#lesson footer .tool").click();
		document.getElementById("sheet").hidden = false`)
	pdf, err := chromedp.Call(p.ctx, page.PrintToPDF, page.PrintToPDFParams{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "worksheet.pdf", pdf.Data)
	_, err = chromedp.Call(p.ctx, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Media: "print"})
	if err != nil {
		t.Fatal(err)
	}
	shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "worksheet.png", shot)
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// media has the browser answer a question of the page's styles, until the page is left.
func (p *tab) media(feature, value string) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
	if err != nil {
		p.Fatal(err)
	}
}

// furnish has a view show what it shows when it is used.
func (p *tab) furnish(view string) {
	p.Helper()
	switch view {
	case "experts":
		p.do(`document.getElementById("measure-n").value = 20`)
		p.click("#measure-run")
		p.until(`document.querySelectorAll("#measure-figure circle").length === 2`)
	case "search":
		p.click("#search-run")
		p.until(`document.querySelectorAll("#search-curve polyline")[0]?.points.length > 2`)
		p.do(`document.getElementById("search-stop").click()`)
		p.until(`!document.getElementById("search-run").hidden`)
	case "teach":
		p.do(`document.getElementById("teach-steps").value = 3`)
		p.click("#teach-run")
		p.click("#teach-use:not([hidden])")
		p.do(`history.back()`)
		p.until(`!document.getElementById("view-teach").hidden`)
	case "learn":
		p.click("#lessons button")
	}
}
