package browsertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const question = "p=Mia+has+34+nuts.+Eve+has+11+more.+How+many+nuts+is+that+for+Eve%3F"

// TestScreens takes pictures of every view, for people to look at.
func TestScreens(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Skip("SCREENSHOTS names no folder")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int64{1280, 360} {
		for _, theme := range []string{"light", "dark"} {
			p := open(t, "#theme="+theme+"&"+question, width, 800).ready()
			for _, view := range views {
				p.fill(view)
				switch view {
				case "search":
					p.click("#search-run")
					p.until(`document.getElementById("search-about").textContent`)
				case "teach":
					p.click("#search-stop")
					p.until(`!document.getElementById("teach-run").disabled`)
					p.click("#teach-run")
					p.until(`document.querySelectorAll("#teach-samples li").length > 3`)
					p.click("#teach-stop")
				case "learn":
					p.do(`document.querySelector("#lessons button").click()`)
				}
				time.Sleep(700 * time.Millisecond)
				shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%s-%d-%s.png", view, width, theme)
				if err := os.WriteFile(filepath.Join(dir, name), shot, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
