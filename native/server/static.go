// Package server shows the page to others: it makes the static site and serves a folder of it
// (site.go, static.go), and shares models of this machine: with pages by WebSocket (engine.go,
// socket.go), with other programs by OpenAI's API (api.go, chat.go).
package server

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"time"
)

// named matches paths that are named by their bytes and so never change.
var named = regexp.MustCompile(`^/(assets|files)/[0-9a-f]{16}/`)

// types that not every system's table of file types has.
var types = map[string]string{".wasm": "application/wasm", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".gz": "application/gzip", ".svg": "image/svg+xml",
	".safetensors": "application/octet-stream"}

// Static serves a folder of files and nothing outside it.
func Static(root *os.Root) http.Handler {
	files := http.FileServerFS(root.FS())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r) // a folder is no page
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if t, ok := types[path.Ext(r.URL.Path)]; ok {
			h.Set("Content-Type", t)
		} else if t := mime.TypeByExtension(path.Ext(r.URL.Path)); t != "" {
			h.Set("Content-Type", t)
		}
		h.Set("Cache-Control", "no-cache")
		if named.MatchString(r.URL.Path) {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		files.ServeHTTP(w, r)
	})
}

// Listen opens an address for a server. Only addresses of this machine itself are opened unless
// public says that others may come. A port that was not asked for by name may be another one: the
// next free.
func Listen(addr string, public, anyPort bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q is not HOST:PORT, such as 127.0.0.1:8642", addr)
	}
	if !public && !loopback(host) {
		return nil, fmt.Errorf("address %q can be reached from other machines: say --public if that "+
			"is meant", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && anyPort {
		if again, err2 := net.Listen("tcp", net.JoinHostPort(host, "0")); err2 == nil {
			return again, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("port %s of %s cannot be had: %w", port, host, errors.Unwrap(err))
	}
	return l, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// New is a server of h that lets nobody hold a connection for ever.
func New(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16}
}
