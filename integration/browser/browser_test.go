package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// binary is the built program, shots the folder of the pictures.
var binary, shots string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "thingbridge-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if shots = os.Getenv("SCREENSHOTS"); shots == "" {
		shots = filepath.Join("..", "..", "bin", "screenshots")
	}
	if shots, err = filepath.Abs(shots); err == nil {
		err = os.MkdirAll(shots, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "thingbridge")
	build := exec.Command("go", "build", "-o", binary, "./cmd/thingbridge")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build thingbridge: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// browser finds a Chromium, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed (Debian: apt-get install chromium)")
	return ""
}

// tab is one tab of a browser of its own. What the page reports to the
// browser's console as an error fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	path := browser(t)
	b := &tab{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx,
		chromedp.WithAllocatorOptions(chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 900)),
		chromedp.WithListener(b.hear), chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(stop)
	b.ctx = ctx
	return b
}

func (b *tab) hear(ev any) {
	var text string
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type != "error" && ev.Type != "assert" {
			return
		}
		for _, a := range ev.Args {
			text += string(a.Value) + a.Description + " "
		}
	case *page.EventJavascriptDialogOpening:
		text = "a dialog: " + ev.Message
	case *log.EventEntryAdded: // what the page's policy forbids is told here
		if ev.Entry.Level != "error" || ev.Entry.Source == "network" {
			return
		}
		text = ev.Entry.Text
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

func (b *tab) noFaults() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("the page reports: %s", f)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		b.t.Fatalf("%v; the page shows:\n%s", err, b.text("body"))
	}
}

// open goes to an address; the first one starts the browser.
func (b *tab) open(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatal(err)
	}
}

func value[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// sees waits until an element holds a text.
func (b *tab) sees(selector, text string) {
	b.t.Helper()
	script := fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", selector, text)
	b.until(selector+" with "+text, script)
}

// until waits until an expression is true.
func (b *tab) until(what, script string) {
	b.t.Helper()
	var err error
	for end := time.Now().Add(patience); ; {
		_, err = chromedp.Run(b.ctx, chromedp.Poll[bool](script, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond)))
		if err == nil || errors.Is(err, chromedp.ErrPollingTimeout) || time.Now().After(end) {
			break // else the page was loaded anew meanwhile, which the browser tells in several ways
		}
	}
	if err != nil {
		b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		b.t.Fatalf("%s: %v; the page shows:\n%s", what, err, b.text("body"))
	}
}

// click clicks the first element that has the text.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	b.sees(selector, text)
	ok := value[bool](b, fmt.Sprintf("(() => { const e = [...document.querySelectorAll(%q)].find((e) => e.textContent.includes(%q)); e.scrollIntoView({block: 'center'}); e.click(); return true })()", selector, text))
	if !ok {
		b.t.Fatalf("%s with %s cannot be clicked", selector, text)
	}
}

// typeInto replaces what stands in a field; keys are pressed after it.
func (b *tab) typeInto(id, text string, keys ...string) {
	b.t.Helper()
	b.until("the field "+id, fmt.Sprintf("(() => { const e = document.getElementById(%q); e?.focus(); e?.select?.(); return document.activeElement === e && e !== null })()", id))
	b.insert(text)
	b.press(keys...)
}

// insert types text where the focus is.
func (b *tab) insert(text string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// shot keeps a picture of the whole page.
func (b *tab) shot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(shots, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
	}
}

// looks sets what the user prefers.
func (b *tab) looks(scheme string, width int64) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
		b.t.Fatal(err)
	}
	height := int64(900)
	if width < 500 {
		height = 740
	}
	b.do(chromedp.EmulateViewport(width, height))
}
