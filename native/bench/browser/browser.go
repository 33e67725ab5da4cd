package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium with a profile of its own.
type browser struct {
	ctx   context.Context
	close func()
}

func openBrowser(ctx context.Context, profile string) (*browser, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil, errors.New("there is no Chromium: apt-get install chromium")
	}
	alloc, stop := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	tab, cancel := chromedp.NewContext(alloc)
	b := &browser{ctx: tab, close: func() { cancel(); stop() }}
	if err := chromedp.Do(tab); err != nil {
		b.close()
		return nil, fmt.Errorf("chromium: %w", err)
	}
	return b, nil
}

// tab opens an address in a tab of its own.
func (b *browser) tab(url string) (context.Context, context.CancelFunc, error) {
	ctx, cancel := chromedp.NewContext(b.ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	return ctx, cancel, nil
}

// patience is how long the page may take for anything.
const patience = 2 * time.Minute

// eval gives the value of a promise.
func eval[T any](ctx context.Context, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		err = fmt.Errorf("%.60q: %w", expression, err)
	}
	return v, err
}

// isolate serves what h does with the headers that shared memory needs, which wllama looks for.
func isolate(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.ServeHTTP(w, r)
	})
}

// serve puts folders and files under their paths.
func serve(paths map[string]string) (*httptest.Server, error) {
	mux := http.NewServeMux()
	for path, at := range paths {
		info, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			mux.Handle(path+"/", http.StripPrefix(path, http.FileServer(http.Dir(at))))
			continue
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, at) })
	}
	return httptest.NewServer(isolate(mux)), nil
}
