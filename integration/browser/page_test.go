package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/edge/simulator"
)

// plant announces some devices that have something to show.
func plant(r *rig) {
	for i := 1; i <= 12; i++ {
		name := fmt.Sprintf("pump-%02d", i)
		r.send("things/"+name+"/announce", `!{"description": "a pump of the plant", "properties": {
			"temp": {"type": "NUMBER", "unit": "°C", "description": "of the bearing"}, "running": "BOOLEAN", "mode": "STRING", "setpoint": {"type": "NUMBER", "writable": true}},
			"services": {"Add": {"description": "adds two numbers", "inputs": {"a": {"type": "NUMBER", "required": true}, "b": "NUMBER"}, "output": "JSON"},
				"Reset": {"inputs": {"hard": "BOOLEAN", "at": "DATETIME", "note": "STRING"}, "output": "STRING"}},
			"events": {"Alarm": {"fields": {"code": "INTEGER"}}}}`)
		r.send("things/"+name+"/properties", fmt.Sprintf(`{"temp": %d.5, "running": true, "mode": "auto", "setpoint": 40}`, 20+i))
	}
	r.send("things/pump-02/events/Alarm", `{"code": 17}`)
	r.send("things/pump-02/properties", `{"temp": "hot"}`)
	r.send("things/pump-03/status", "!offline")
	r.send("things/stray/properties/level", "3")
}

func TestAnEngineerFindsTheWayAround(t *testing.T) {
	browser(t)
	r := newRig(t, "  allow_calls: true\n", simulator.Options{})
	plant(r)
	r.answers("pump-02", "Add", `{"result": INPUTS}`)
	b := newTab(t)
	b.open(r.url)
	b.looks("light", 1280)

	t.Log("the overview shows both connections, the Things and what to do")
	b.sees("#links", "Broker up")
	b.sees("#links", "Platform up")
	b.sees(".cards", "12")
	b.sees(".todo", "native/properties/1 (type)")
	b.sees(".todo", "stray: 1 waiting")
	b.until("the plots have lines", "document.querySelectorAll('.plot path.line0[d*=L]').length > 1")
	b.shot("overview-light")

	t.Log("the list searches, filters and sorts")
	b.click("#nav a", "Things")
	b.sees(".pager", "1 to 12 of 12")
	b.typeInto("search", "PUMP-0")
	b.sees(".pager", "of 9")
	b.click(".chips button", "offline")
	b.sees(".pager", "1 to 1 of 1")
	b.sees("tbody a", "pump-03")
	b.click(".chips button", "offline")
	b.sees(".pager", "of 9")
	b.click("th button", "Problems")
	b.until("the one with problems comes first", "document.querySelector('tbody a').textContent === 'pump-02'")
	b.until("the address says it", "location.hash.includes('sort=-problems') && location.hash.includes('search=PUMP-0')")
	b.shot("things-light")

	t.Log("one Thing shows values, services, events and trouble")
	b.click("tbody a", "pump-02")
	b.sees("h1", "pump-02")
	b.sees("tr", "22.5 °C")
	b.sees("main > div", "a pump of the plant")
	b.sees(".changes", `{"code":17}`)
	b.sees(".changes", "temp: ")
	b.click("[data-service=Add] summary", "Add")
	b.click("[data-service=Add] button", "Call")
	b.typeInto("in-Add-0", "x")
	b.click("[data-service=Add] button", "Call")
	b.sees("[data-service=Add] .answer", "a: a number is wanted")
	b.typeInto("in-Add-0", "2.5", kb.Tab)
	b.insert("9007199254740993")
	b.press(kb.Enter)
	b.sees("[data-service=Add] .answer", "done")
	b.sees("[data-service=Add] .answer pre", `"a": 2.5`)
	b.shot("thing-light")

	t.Log("a service that nobody answers says so")
	b.click("[data-service=Reset] summary", "Reset")
	b.click("[data-service=Reset] button", "Call")
	b.sees("[data-service=Reset] .answer", "called")
	b.do(chromedp.Navigate(r.url + "/#/calls"))
	b.sees("tbody", "Reset")
	b.sees("tbody .badge", "sent")
	b.shot("calls-light")

	t.Log("the trace follows a value to the platform")
	b.do(chromedp.Navigate(r.url + "/#/trace?thing=pump-05"))
	b.sees("#trace-state", "Watching")
	r.send("things/pump-06/properties/temp", "1")
	r.send("things/pump-05/properties", `{"temp": 99.5, "running": true, "odd": 1, "mode": 3}`)
	b.sees(".trace .rule", "native/properties/1")
	b.sees(".trace .steps", "pump-05.temp")
	b.sees(".trace .fate", "acknowledged")
	b.sees(".trace .fate", "no binding")
	b.sees(".trace .kept", "acknowledged to the broker")
	if strings.Contains(b.text(".trace"), "pump-06") {
		t.Error("the trace shows what its filter excludes")
	}
	b.shot("trace-light")
	b.click("#trace-pause", "Pause")
	b.sees("#trace-state", "Paused")

	t.Log("the configuration is shown without its secrets")
	b.click("#nav a", "Configuration")
	b.sees(".yaml", "app_key: <secret>")
	b.sees(".yaml", "client_id: bridge-of-the-page")
	if all := b.text("body"); strings.Contains(all, "secret-of") {
		t.Error("a secret is shown")
	}
	b.shot("config-light")
	b.noFaults()
}

func TestThePageFitsItsReader(t *testing.T) {
	browser(t)
	r := newRig(t, "", simulator.Options{})
	plant(r)
	b := newTab(t)
	b.open(r.url)
	for _, look := range []struct {
		name, scheme string
		width        int64
	}{{"dark", "dark", 1280}, {"phone", "light", 360}, {"phone-dark", "dark", 360}} {
		b.looks(look.scheme, look.width)
		for _, view := range []struct{ name, address, sees string }{
			{"overview", "/#/", "Traffic"}, {"things", "/#/things", "pump-12"}, {"thing", "/#/things/pump-02", "temp"},
			{"trace", "/#/trace", "Watching"}, {"calls", "/#/calls", "None at the moment"}, {"config", "/#/config", "data_dir"},
		} {
			b.do(chromedp.Navigate(r.url + view.address))
			b.sees("main", view.sees)
			if view.name == "trace" {
				r.send("things/pump-05/properties", `{"temp": 99.5, "running": true}`)
				b.sees(".trace", "acknowledged")
			}
			if wide := value[int](b, "document.documentElement.scrollWidth"); wide > int(look.width) {
				t.Errorf("%s is %d pixels wide on %d: %s", view.name, wide, look.width, value[string](b,
					"[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')).slice(0, 5).map((e) => e.outerHTML.slice(0, 100)).join('\\n')"))
			}
			b.shot(view.name + "-" + look.name)
		}
	}
	t.Log("where calls are off, the page says which key lets them")
	b.do(chromedp.Navigate(r.url + "/#/things/pump-02"))
	b.sees(".service", "console.allow_calls: true")
	b.noFaults()
}

// TestTenThousandThingsDoNotMakeItSlow opens the views beside 10,000 Things. How
// long each takes is logged; what it shows and how much of it is judged.
func TestTenThousandThingsDoNotMakeItSlow(t *testing.T) {
	browser(t)
	r := newRig(t, "", simulator.Options{})
	const things = 10_000
	var last mqtt.Token
	for i := range things {
		name := fmt.Sprintf("things/pump-%05d", i)
		r.devices.Publish(name+"/announce", 1, true, `{"properties": {"temp": "NUMBER", "running": "BOOLEAN"}, "services": {"Reset": {}}}`)
		last = r.devices.Publish(name+"/properties/temp", 1, false, fmt.Sprint(i))
	}
	r.wait(last)
	b := newTab(t)
	b.open(r.url)
	b.sees(".cards", "10,000")
	timed := func(what string, do func()) {
		began := time.Now()
		do()
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
	}
	timed("the overview, loaded anew", func() {
		b.do(chromedp.Reload())
		b.sees(".cards", "10,000")
	})
	timed("the list", func() {
		b.click("#nav a", "Things")
		b.sees(".pager", "1 to 100 of 10,000")
	})
	timed("its last page", func() {
		b.do(chromedp.Navigate(r.url + "/#/things?page=99"))
		b.sees("tbody a", "pump-09999")
	})
	timed("a search", func() {
		b.typeInto("search", "pump-0777")
		b.sees(".pager", "1 to 10 of 10")
	})
	timed("one Thing", func() {
		b.click("tbody a", "pump-07770")
		b.sees("h1", "pump-07770")
	})
	timed("a new value of it", func() {
		r.send("things/pump-07770/properties/temp", "99.25")
		b.sees("tr", "99.25")
	})
	b.do(chromedp.Navigate(r.url + "/#/things"))
	b.sees(".pager", "of 10,000")
	if nodes := value[int](b, "document.querySelectorAll('*').length"); nodes > 5000 {
		t.Errorf("the list has %d elements", nodes)
	}
	b.shot("things-10000")
	b.noFaults()
}

func TestTheKeyboardIsEnough(t *testing.T) {
	browser(t)
	r := newRig(t, "  allow_calls: true\n", simulator.Options{})
	plant(r)
	b := newTab(t)
	b.open(r.url)
	b.sees("#links", "Platform up")
	focus := func() string {
		return value[string](b, "(document.activeElement.textContent || document.activeElement.id).trim()")
	}
	press := func(keys ...string) { b.press(keys...) }
	press(kb.Tab)
	if got := focus(); got != "Skip to the content" {
		t.Errorf("the first stop is %q", got)
	}
	press(kb.Enter)
	b.until("the content has the focus", "document.activeElement.id === 'main'")
	for range 3 {
		press(kb.Tab)
	}
	if outline := value[string](b, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
		t.Error("the focus cannot be seen")
	}
	value[bool](b, `document.querySelector('#nav a[href="#/things"]').focus(), true`)
	press(kb.Enter)
	b.sees(".pager", "of 12")
	press("/")
	b.until("the search has the focus", "document.activeElement.id === 'search'")
	b.typeInto("search", "pump-1") // over the /, which this way of pressing keys leaves in the field
	b.sees(".pager", "of 3")
	press(kb.ArrowDown, kb.ArrowDown)
	if got := focus(); got != "pump-11" {
		t.Errorf("two steps down is %q", got)
	}
	press(kb.Enter)
	b.sees("h1", "pump-11")
	b.until("no control is without a name", `[...document.querySelectorAll('button, input, select, textarea, summary, a')].every((e) =>
		(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))`)
	b.noFaults()
}

const evil = `<img src=x onerror=alert(1)><script>alert(2)</script>`

func TestHostileDevicesStayText(t *testing.T) {
	browser(t)
	r := newRig(t, "  allow_calls: true\n", simulator.Options{})
	b := newTab(t)
	b.open(r.url + "/#/trace")
	b.sees("#trace-state", "Watching")
	name := `"><img src=x onerror=alert(3)>`
	r.send("things/"+name+"/announce", `!{}`)
	r.send("things/evil/announce", `!{"description": "`+evil+`", "properties": {"text": {"type": "STRING", "description": "'onmouseover=alert(4)"}},
		"services": {"Run": {"description": "`+evil+`", "inputs": {"`+"a"+`": {"type": "STRING", "description": "`+evil+`"}}, "output": "STRING"}}}`)
	r.send("things/evil/properties/text", evil)
	r.send("things/evil/properties", `{"`+evil+`": 1}`)
	r.send("things/evil/events/Boom", `{"what": "`+evil+`"}`)
	r.send("things/"+evil+"/properties", "{")
	r.send("javascript:alert(5)", evil)
	r.answers("evil", "Run", `{"error": "`+evil+`"}`)
	b.sees(".trace", "<img src=x onerror=alert(1)>")
	b.shot("hostile-trace")
	for _, address := range []string{"#/", "#/things", "#/things/evil", "#/things/" + `%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(3)%3E`, "#/things/<img src=x onerror=alert(6)>", "#/<script>alert(7)</script>"} {
		b.do(chromedp.Navigate(r.url + "/" + address))
		b.until("the view is there", "document.querySelector('main').textContent.length > 20")
		b.sees("#links", "up")
	}
	b.do(chromedp.Navigate(r.url + "/#/things/evil"))
	b.sees("code", evil)
	b.click("[data-service=Run] summary", "Run")
	b.click("[data-service=Run] button", "Call")
	b.sees("[data-service=Run] .answer", evil)
	b.shot("hostile-thing")
	if n := value[int](b, "document.querySelectorAll('main img, main script, main iframe, main [onerror], main [style]').length"); n > 0 {
		t.Errorf("%d elements came from what devices sent", n)
	}
	b.noFaults()
}

func TestTheLogInLetsInAndKeepsOut(t *testing.T) {
	browser(t)
	r := newRig(t, "  token: the-token-of-the-console\n  username: eve\n  password: the-password-of-eve\n", simulator.Options{})
	plant(r)
	b := newTab(t)
	b.open(r.url)
	b.sees("#login", "console.token")
	b.shot("login-light")
	b.typeInto("token", "wrong", kb.Enter)
	b.sees("#login", "does not take that")
	b.typeInto("token", "the-token-of-the-console", kb.Enter)
	b.sees("#links", "Platform up")
	b.sees(".cards", "12")
	t.Log("the stream brings the log-in along")
	b.click("#nav a", "Trace")
	b.sees("#trace-state", "Watching")
	r.send("things/pump-05/properties", `{"temp": 99.5}`)
	b.sees(".trace", "pump-05")
	t.Log("a reload keeps it, a log-out forgets it")
	b.do(chromedp.Reload())
	b.sees("#trace-state", "Watching")
	if n := value[int](b, "document.cookie.length + localStorage.length"); n != 0 {
		t.Error("something outlives the tab")
	}
	b.click("#logout", "Log out")
	b.sees("#login", "console.token")
	t.Log("user name and password do as well")
	b.click("#login summary", "User name")
	b.typeInto("user", "eve", kb.Tab)
	b.insert("the-password-of-eve")
	b.press(kb.Enter)
	b.sees("#trace-state", "Watching")
	b.noFaults()
}

func TestWhatThePlatformRefusesIsExplained(t *testing.T) {
	browser(t)
	r := newRig(t, "", simulator.Options{Strict: true, BindRefusal: simulator.RefusePartial, Things: []simulator.ThingSpec{{Name: "known", Template: "RemoteThing"}}})
	r.send("things/known/announce", `!{"properties": {"level": "NUMBER"}}`)
	r.send("things/known/properties/level", "3")
	r.send("things/unknown/announce", `!{}`)
	if _, err := r.platform.SetFault(simulator.Fault{Kind: "refuse-bind", Thing: "forbidden"}); err != nil {
		t.Fatal(err)
	}
	r.send("things/forbidden/announce", `!{}`)
	b := newTab(t)
	b.open(r.url)
	b.sees(".advice.level-error", "The platform refuses to bind 1 Thing")
	b.sees(".advice.level-error .names a", "forbidden")
	b.sees(".advice", "have no remote binding")
	b.sees(".advice", "known: level (1 values)")
	b.sees(".advice", "Manage Bindings")
	b.shot("refused-light")
	b.click(".advice.level-error .names a", "forbidden")
	b.sees("h1 .badge", "refused")
	b.noFaults()
}
