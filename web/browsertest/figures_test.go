package browsertest

import (
	"encoding/json"
	"strings"
	"testing"
)

// saved presses every button below the figures of the view that is open, and tells what each file
// holds: the text of an SVG or CSV, the size of a PNG and how many colours a part of it has.
const saved = `(async () => {
	const files = [], make = URL.createObjectURL, click = HTMLAnchorElement.prototype.click;
	let blob = null;
	URL.createObjectURL = (b) => { blob = b; return "blob:none"; };
	HTMLAnchorElement.prototype.click = function () { files.push({ name: this.download, blob }); };
	for (const b of document.querySelectorAll("main > section:not([hidden]) .tools-row .tool")) {
		const n = files.length;
		b.click();
		for (let i = 0; i < 200 && files.length === n; i++) await new Promise((f) => setTimeout(f, 20));
	}
	URL.createObjectURL = make;
	HTMLAnchorElement.prototype.click = click;
	const out = [];
	for (const { name, blob } of files) {
		if (!name.endsWith(".png")) { out.push({ name, text: await blob.text() }); continue; }
		const image = await createImageBitmap(blob), { width, height } = image;
		const c = new OffscreenCanvas(width, height).getContext("2d");
		c.drawImage(image, 0, 0);
		const pixels = new Uint32Array(c.getImageData(0, 0, width, height).data.buffer);
		out.push({ name, text: blob.type, width, height, colours: new Set(pixels).size });
	}
	return JSON.stringify(out);
})()`

type savedFile struct {
	Name, Text             string
	Width, Height, Colours int
}

// Every figure can be taken as SVG, PNG and CSV, with seed and link in its caption.
func TestFigures(t *testing.T) {
	p := follow(t, "#seed=5&"+question)
	for _, view := range []struct {
		name, fill string
		figures    int
	}{
		{"play", "", 1},
		{"experts", `!document.getElementById("measure-run").hidden`, 1},
		{"sigma", `["next", "heat", "histogram", "spectrum"]
			.every((f) => document.querySelector("#" + f + "-tools button"))`, 4},
		{"passes", `document.querySelector("#pass2-tools button")`, 2},
		{"search", `!document.getElementById("search-figures").hidden`, 3},
		{"teach", `document.getElementById("teach-about").textContent.startsWith("Step")`, 1},
	} {
		p.fill(view.name)
		switch view.name {
		case "experts":
			p.do(`document.getElementById("measure-n").value = 8`)
			p.click("#measure-run")
		case "search":
			p.search()
		case "teach":
			p.click("#teach-run")
		}
		if view.fill != "" {
			p.until(view.fill)
		}
		var files []savedFile
		if err := json.Unmarshal([]byte(js[string](p, saved)), &files); err != nil {
			t.Fatal(err)
		}
		if view.name == "search" || view.name == "teach" {
			p.do(`document.getElementById("` + view.name + `-stop").click()`)
		}
		if len(files) != 3*view.figures {
			t.Errorf("%s has %d files of figures, want %d", view.name, len(files), 3*view.figures)
		}
		for _, f := range files {
			checkFigure(t, f)
		}
	}
}

func checkFigure(t *testing.T, f savedFile) {
	t.Helper()
	if strings.HasSuffix(f.Name, ".png") {
		if f.Text != "image/png" || f.Width < 1900 || f.Height < 200 || f.Colours < 8 {
			t.Errorf("%s: %d × %d, %d colours, %s", f.Name, f.Width, f.Height, f.Colours, f.Text)
		}
		return
	}
	if !strings.Contains(f.Text, "seed 5") || !strings.Contains(f.Text, "http://127.0.0.1") {
		t.Errorf("%s has no seed or link in its caption: %.300s", f.Name, f.Text)
	}
	if strings.HasSuffix(f.Name, ".svg") && !strings.HasPrefix(f.Text, "<svg") {
		t.Errorf("%s begins with %.40s", f.Name, f.Text)
	}
	// A header, a row and the caption at least.
	if strings.HasSuffix(f.Name, ".csv") && strings.Count(f.Text, "\n") < 3 {
		t.Errorf("%s has no rows: %s", f.Name, f.Text)
	}
}

// A search draws its members and what it draws them from, the mean and its spread, on the triangle and
// by generation; it can be ended.
func TestSearch(t *testing.T) {
	p := follow(t, "#view=search")
	p.search()
	p.until(`!document.getElementById("search-figures").hidden`)
	p.until(`document.querySelectorAll("#search-map circle").length > 5`)
	p.until(`document.querySelectorAll("#search-spread polygon.band").length === 3`)
	if n := js[int](p, `document.querySelectorAll("#search-map .spread").length`); n != 3 {
		t.Errorf("%d bars of the spread, want 3", n)
	}
	if !js[bool](p, `[...document.querySelectorAll("#search-map .spread")]
		.some((l) => l.getTotalLength() > 1)`) {
		t.Error("the spread is nothing at its beginning")
	}
	p.click("#search-stop")
	p.until(`!document.getElementById("search-run").hidden`)
}

// Heat is shaded by each voice's own largest, or by one scale for all.
func TestHeatScale(t *testing.T) {
	p := follow(t, "#view=sigma&x=math&"+question)
	darkest := `Math.max(...[...document.querySelectorAll("#heat button")]
		.map((b) => +b.style.getPropertyValue("--heat")))`
	p.until(darkest + " === 1")
	p.click("#view-sigma .scale-switch")
	p.until(darkest + " < 1 && location.hash.includes('scale=common')")
	p.click("#tab-experts")
	p.until(`document.querySelector("#view-experts .scale-switch").checked`)
	p.until(`document.querySelectorAll(".fold rect").length > 100`)
	own := `[...document.querySelectorAll(".fold")].filter((f) => [...f.children]
		.some((r) => r.getAttribute("fill-opacity") === "1.000")).length`
	p.until(own + " === 1") // one expert has the darkest cell of all
	p.click("#view-experts .scale-switch")
	p.until(own + " > 5 && !location.hash.includes('scale=')")
}
