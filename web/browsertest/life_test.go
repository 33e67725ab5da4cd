package browsertest

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What the engine refuses is said in the visitor's language, with the engine's own sentence.
func TestRefusalIsTranslated(t *testing.T) {
	p := follow(t, "#lang=zh")
	p.enter("prompt", strings.Repeat("word ", 20000), "input")
	p.until(`document.getElementById("prompt").value.length === 100000`)
	time.Sleep(100 * time.Millisecond) // the page takes it up at the next frame
	p.click("#run")
	p.until(`document.querySelector("#notices .error small")`)
	said := p.text("#notices .error")
	if !strings.Contains(said, "引擎拒绝") || !strings.Contains(said, "100000 bytes") {
		t.Errorf("the page says %q", said)
	}
	if h := js[int](p, "location.hash.length"); h > 5000 {
		t.Errorf("the address has %d characters", h)
	}
	p.enter("prompt", "How big is the lantis?", "input")
	p.until(`location.hash.includes("lantis")`)
	p.click("#run")
	p.answered()
}

// A model that goes ends what runs with it, with a sentence; the next one answers. The other model
// here only comes and goes: it would have to be decomposed first.
func TestModelChangeEndsWork(t *testing.T) {
	p := follow(t, "#view=search&"+question)
	change := func(model string) {
		p.enter("model", model, "change")
		p.until(`document.documentElement.dataset.ready === "` + model + `"`)
	}
	p.search()
	p.until(`!document.getElementById("search-figures").hidden`)
	change("tako-b")
	p.until(`document.getElementById("notices").textContent.includes("The search ended")`)
	p.until(`document.getElementById("search-figures").hidden`)
	p.until(`!document.getElementById("search-run").hidden`)
	change("tako")
	p.click("#tab-teach")
	p.click("#teach-run")
	p.until(`document.querySelectorAll("#teach-samples li").length`)
	change("tako-b")
	p.until(`document.getElementById("notices").textContent.includes("The training ended")`)
	if !js[bool](p, `document.getElementById("teach-use").hidden`) {
		t.Error("an expert of the model that went is offered")
	}
	p.click("#tab-play")
	p.click("#run")
	p.answered()
	change("tako")
}

// A prediction is there when its lesson is opened again, and after a reload.
func TestPredictionIsKept(t *testing.T) {
	p := open(t, "#lesson=matrix&step=0", 1280, 800).ready()
	p.click("#lesson input[name=predict]:nth-of-type(1)")
	p.until(`document.querySelector("#lesson .verdict").textContent`)
	p.click("#lesson header button")
	p.until(`document.getElementById("lesson").hidden`)
	kept := `document.querySelector("#lesson input[name=predict]").checked &&
		document.querySelector("#lesson .verdict").textContent`
	p.do(`history.back()`)
	p.until(kept)
	if err := chromedp.Do(p.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	p.ready().until(kept)
}

// A visitor's own expert can be trained, used, measured and removed; a measurement can be stopped.
func TestOwnExpert(t *testing.T) {
	p := follow(t, "#view=teach")
	p.do(`document.getElementById("teach-steps").value = 2`)
	p.click("#teach-run")
	p.click("#teach-use")
	p.until(`location.hash.includes("x=mine")`)
	p.click("#tab-experts")
	p.enter("measure-n", "8", "change")
	p.enter("measure-task", "polite", "change")
	p.click("#measure-run")
	p.until(`!document.getElementById("measure-run").hidden`)
	s := p.text("#measure-figure")
	if !strings.Contains(s, "base on polite") || !strings.Contains(s, "mine on polite") ||
		!strings.Contains(s, "8 questions") {
		t.Errorf("the measurement says %q", s)
	}
	p.do(`document.getElementById("measure-n").value = 1000`)
	p.click("#measure-run")
	p.click("#measure-stop")
	p.until(`!document.getElementById("measure-run").hidden`)
	p.click("#remove")
	p.until(`!location.hash.includes("x=mine") && document.getElementById("remove").hidden`)
	p.until(`![...document.querySelectorAll("#cards strong")].some((s) => s.textContent === "mine")`)
}

// A tab that is put to sleep while it works goes on when it wakes. It is the test's own: Chromium is
// slow to bring the mouse to one that has slept.
func TestSleep(t *testing.T) {
	p := open(t, "#view=teach&"+question, 1280, 800).ready()
	sleep := func() {
		for _, state := range []page.SetWebLifecycleStateState{"frozen", "active"} {
			_, err := chromedp.Call(p.ctx, page.SetWebLifecycleState,
				page.SetWebLifecycleStateParams{State: state})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
	p.do(`document.getElementById("teach-steps").value = 3`)
	p.click("#teach-run")
	p.until(`document.querySelectorAll("#teach-samples li").length`)
	sleep()
	p.click("#teach-use") // the training came to its end
	p.until(`document.getElementById("stop").hidden && document.getElementById("about-1").textContent`)
	p.enter("s-t", "3", "change")
	sleep()
	p.until(`document.getElementById("stop").hidden`)
	p.answered()
}

// A link with a voice but no question asks the first prepared one of that voice.
func TestLinkWithoutQuestion(t *testing.T) {
	p := open(t, "#x=french&z=3.gate.0:0", 1280, 800).ready()
	p.answered()
	h := js[string](p, "location.hash")
	if !strings.Contains(h, "x=french") || !strings.Contains(h, "z=3.gate") {
		t.Errorf("the address became %s", h)
	}
	if s := p.text("#name-1"); s != "french ✎" {
		t.Errorf("%s answers", s)
	}
}

// A stranger sees two answers, what they mean and the right one, before doing anything.
func TestFirstRun(t *testing.T) {
	p := open(t, "", 1280, 800).ready()
	p.until(`document.getElementById("truth").textContent.includes("right answer: 12")`)
	below := js[float64](p, `document.getElementById("about-1").getBoundingClientRect().bottom`)
	if below > 800 {
		t.Errorf("the answers end %.0f px down, below the first screen", below)
	}
	if s := p.text("#prepared"); !strings.Contains(s, "Prepared") {
		t.Errorf("prepared answers are not called so: %q", s)
	}
	if s := p.text("#strip"); !strings.Contains(s, "– tokens/s") {
		t.Errorf("the strip has a speed that was not measured here: %s", s)
	}
	p.click("#run")
	p.until(`document.getElementById("prepared").hidden`)
	p.until(`/\d tokens\/s/.test(document.getElementById("about-1").textContent)`)
}

// A lesson can be gone through with the keys alone, and the focus is never lost in it.
func TestLessonByKeyboard(t *testing.T) {
	p := follow(t, "#lesson=matrix&step=0")
	press := func(keys ...string) {
		for _, k := range keys {
			if err := chromedp.Do(p.ctx, chromedp.KeyEvent(k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.do(`document.querySelector("#lesson input[name=predict]").focus()`)
	press(kb.ArrowDown)
	p.until(`document.querySelectorAll("#lesson input[name=predict]")[1].checked`)
	p.do(`document.querySelector("#lesson footer .primary").focus()`)
	press(kb.Enter)
	p.until(`document.getElementById("stop").hidden && document.getElementById("about-1").textContent`)
	p.do(`document.querySelector("#lesson [data-does=next]").focus()`)
	press(kb.Enter)
	p.until(`location.hash.includes("step=1") && document.activeElement.dataset.does === "next"`)
	press(kb.ArrowRight)
	p.until(`location.hash.includes("step=2") && !document.getElementById("view-sigma").hidden`)
	for view, place := range map[string]string{
		"experts": "#cards", "play": "#voices", "sigma": "#heat"} {
		p.click("#tab-" + view)
		p.until(`document.querySelectorAll("` + place + ` button").length > 4`)
		p.do(`document.querySelectorAll("` + place + ` button")[4].focus()`)
		press(kb.Enter)
		p.until(`document.querySelectorAll("` + place + ` button")[4]
			.matches(":focus[aria-pressed=true]")`)
	}
	p.click("#tab-search")
	p.do(`document.getElementById("search-run").focus()`)
	press(kb.Enter)
	p.until(`document.activeElement.id === "search-pause"`)
	press(kb.Enter)
	p.until(`document.activeElement.id === "search-resume"`)
	p.do(`document.getElementById("search-stop").click()`)
}
