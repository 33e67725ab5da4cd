package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"transformer2/native/server"
)

// What a visitor should have to wait for at most.
const (
	mostBytes    = 8e6
	mostFirstMS  = 2000
	mostDialMS   = 50
	mostLongTask = 50
)

// The page is asked something that was not computed beforehand: what it shows is live. With its
// template it is a prompt of 32 tokens.
const (
	asked = "#view=%s&x=math&p=Tom%%20has%%2012%%20apples.%%20Tom%%20buys%%2010.%%20How%%20many%%20has%%20Tom%%3F"
	// firstToken is when the first token stands on the page, in ms after the navigation began.
	firstToken = `new Promise((done) => {
		const look = () => document.querySelector("#answer-0 .token") && done(performance.now());
		new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
		look();
	})`
	modelReady = `new Promise((done) => {
		const root = document.documentElement, look = () => root.dataset.ready && done(true);
		new MutationObserver(look).observe(root, { attributes: true });
		look();
	})`
	// dials moves the chosen dial 30 times and waits each time for the new distribution.
	dials = `(async () => {
		const dial = document.getElementById("dial"), next = document.getElementById("next");
		const change = () => new Promise((done) => {
			const o = new MutationObserver(() => { o.disconnect(); done(performance.now()); });
			o.observe(next, { childList: true });
		});
		while (!document.querySelector("#spectrum path") || !next.children.length) await new Promise((f) => setTimeout(f, 50));
		const times = [];
		for (let i = 0; i < 33; i++) {
			await new Promise((f) => setTimeout(f, 30));
			const begin = performance.now(), changed = change();
			dial.value = 0.5 + (i % 9) / 6;
			dial.dispatchEvent(new Event("input"));
			times.push(await changed - begin);
		}
		return times.slice(3);
	})()`
	// longest answers three times and gives the longest task that the browser saw, 0 below 50 ms.
	longest = `(async () => {
		let most = 0;
		const o = new PerformanceObserver((l) => { for (const e of l.getEntries()) most = Math.max(most, e.duration); });
		o.observe({ type: "longtask" });
		for (let i = 0; i < 3; i++) {
			document.getElementById("run").click();
			await new Promise((f) => setTimeout(f, 100));
			while (!document.getElementById("stop").hidden) await new Promise((f) => setTimeout(f, 50));
		}
		o.disconnect();
		return most;
	})()`
)

// visiting measures the page as a visitor meets it: every visit has an origin of its own, so that
// nothing is cached.
func visiting(b *browser, o options) ([]figure, error) {
	var bytes, first, dial, long []float64
	for round := range o.rounds {
		say("visit %d of %d", round+1, o.rounds)
		v, err := visit(b, o.site)
		if err != nil {
			return nil, err
		}
		bytes, first = append(bytes, v.bytes/1e6), append(first, v.first)
		dial, long = append(dial, median(v.dials)), append(long, v.longest)
	}
	return []figure{
		atMost("first load: page, engine, tako, its experts", bytes, "MB", mostBytes/1e6),
		atMost("first live token, cold cache", first, "ms", mostFirstMS),
		atMost("z slider to next-token bars", dial, "ms", mostDialMS),
		atMost("longest task while answering (0: none ≥ 50)", long, "ms", mostLongTask),
	}, nil
}

func atMost(name string, x []float64, unit string, most float64) figure {
	return figure{Name: name, Value: median(x), Unit: unit, Spread: spread(x),
		Want: fmt.Sprintf("≤ %g", most), Met: median(x) <= most}
}

type visited struct {
	bytes, first float64 // sent until the model is ready; ms
	dials        []float64
	longest      float64 // ms
}

func visit(b *browser, site string) (v visited, err error) {
	root, err := os.OpenRoot(site)
	if err != nil {
		return v, fmt.Errorf("%w: make site first", err)
	}
	defer root.Close()
	var sent atomic.Int64
	page := httptest.NewServer(counted(server.Static(root), &sent))
	defer page.Close()
	tab, done, err := b.tab(page.URL + "/" + fmt.Sprintf(asked, "play"))
	if err != nil {
		return v, err
	}
	defer done()
	if v.first, err = eval[float64](tab, firstToken); err != nil {
		return v, err
	}
	if _, err = eval[bool](tab, modelReady); err != nil {
		return v, err
	}
	v.bytes = float64(sent.Load())
	if err := settle(tab); err != nil {
		return v, err
	}
	if v.longest, err = eval[float64](tab, longest); err != nil {
		return v, err
	}
	if _, err = eval[bool](tab, `document.getElementById("tab-sigma").click(), true`); err != nil {
		return v, err
	}
	v.dials, err = eval[[]float64](tab, dials)
	return v, err
}

// settle waits until the first comparison is over.
func settle(tab context.Context) error {
	_, err := eval[bool](tab, `(async () => {
		while (!document.getElementById("differ").textContent) await new Promise((f) => setTimeout(f, 50));
		return true;
	})()`)
	return err
}

// counted adds what h sends, headers left out.
func counted(h http.Handler, sent *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(counter{w, sent}, r)
	})
}

type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}
