package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"thingbridge/bridge"
	"thingbridge/config"
)

// Advice is one thing that the user should look after.
type Advice struct {
	Kind    string    `json:"kind"`  // constant, one for each rule below
	Level   string    `json:"level"` // LevelError or LevelWarn
	Title   string    `json:"title"`
	Remedy  string    `json:"remedy"`
	Things  []string  `json:"things,omitempty"`  // the first of them
	Count   int       `json:"count,omitempty"`   // of Things, in all
	Details []string  `json:"details,omitempty"` // the platform's, the broker's or the rule's own words
	Since   time.Time `json:"since,omitzero"`    // or of the last time
}

// LinkFacts is one connection.
type LinkFacts struct {
	Up     bool
	Since  time.Time
	Reason string // why it is not up
}

// Facts is what advice is made of.
type Facts struct {
	Now              time.Time
	Config           *config.Config
	Broker, Platform LinkFacts
	RefusedFilters   map[string]string // topic filters that the broker refuses: why
	Bridge           bridge.Status
	Findings         bridge.Findings
	Rejections       []bridge.Rejection

	OutboxBytes, OutboxMax int64
	OutboxDropped          map[string]uint64 // records, by reason
	OutboxError            string
}

const (
	adviceGrace   = 10 * time.Second // a connection that is made again within that is no trouble
	adviceDetails = 10
	adviceFull    = 0.8 // of the outbox
)

// advise says what the user should do next, the worst first.
func advise(f Facts) []Advice {
	list := []Advice{}
	for _, rule := range []func(*Facts) []Advice{adviseLinks, adviseFilters, adviseOutbox, adviseBinds, adviseBindings,
		adviseClashes, adviseUnannounced, adviseRejections, adviseSettings} {
		list = append(list, rule(&f)...)
	}
	slices.SortStableFunc(list, func(a, b Advice) int { return severity(a.Level) - severity(b.Level) })
	return list
}

func severity(level string) int { return slices.Index([]string{LevelError, LevelWarn, LevelOK}, level) }

func adviseLinks(f *Facts) (list []Advice) {
	down := func(l *LinkFacts) bool { return !l.Up && f.Now.Sub(l.Since) > adviceGrace }
	if l := &f.Platform; down(l) {
		list = append(list, Advice{Kind: "platform_down", Level: LevelError, Title: "The platform is not reached.", Since: l.Since, Details: nonEmpty(l.Reason),
			Remedy: "See the reason. An address or a proxy is in the keys platform.url and platform.proxy; try it from this machine. For the application key make a new one " +
				"in Composer (Security, Application Keys): it must not be expired, and its user must be allowed to connect. Values wait in the outbox meanwhile, calls are answered by nobody."})
	}
	if l := &f.Broker; down(l) {
		list = append(list, Advice{Kind: "broker_down", Level: LevelError, Title: "The broker is not reached.", Since: l.Since, Details: nonEmpty(l.Reason),
			Remedy: "See the reason: the keys mqtt.broker, mqtt.username, mqtt.password and mqtt.tls. If it comes and goes, look for a second program with the same mqtt.client_id. " +
				"What devices send at QoS 1 waits at the broker, as long as that keeps it."})
	}
	return list
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func adviseFilters(f *Facts) []Advice {
	if len(f.RefusedFilters) == 0 {
		return nil
	}
	a := Advice{Kind: "filters_refused", Level: LevelError, Title: "The broker does not let the bridge listen to some topics.",
		Remedy: "Give the bridge's user (mqtt.username) the right to read these topics in the broker's access rules. Devices behind them do not show at all."}
	for filter, why := range f.RefusedFilters {
		a.Details = append(a.Details, filter+": "+why)
	}
	slices.Sort(a.Details)
	return []Advice{a.cut()}
}

func adviseOutbox(f *Facts) (list []Advice) {
	if f.OutboxError != "" {
		list = append(list, Advice{Kind: "disk", Level: LevelError, Title: "The disk does not take what must be kept.", Details: []string{f.OutboxError},
			Remedy: "Free space on the disk of data_dir, or look after its health. Messages stay unacknowledged at the broker until it writes again."})
	}
	if f.OutboxMax > 0 && float64(f.OutboxBytes) >= adviceFull*float64(f.OutboxMax) {
		list = append(list, Advice{Kind: "outbox_full", Level: LevelError,
			Title:  fmt.Sprintf("The outbox is %d %% full.", 100*f.OutboxBytes/f.OutboxMax),
			Remedy: "End the outage, or raise outbox.max_bytes. When it is full the oldest values are dropped, or with when_full: fold all but the newest of each property."})
	}
	var lost []string
	for reason, n := range f.OutboxDropped {
		if n > 0 {
			lost = append(lost, fmt.Sprintf("%d records: %s", n, reason))
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		list = append(list, Advice{Kind: "dropped", Level: LevelError, Title: "Values were dropped since the start.", Details: lost,
			Remedy: "They waited longer than outbox.max_age, or the outbox was full (outbox.max_bytes). Raise these, or end what keeps values from the platform: see the Things that are not ready."})
	}
	return list
}

func adviseBinds(f *Facts) (list []Advice) {
	for _, g := range f.Findings.Refused {
		list = append(list, Advice{Kind: "bind_refused", Level: LevelError, Count: g.Count, Things: g.Things, Details: nonEmpty(g.Text),
			Title: fmt.Sprintf("The platform refuses to bind %s.", things(g.Count)),
			Remedy: "The platform's own words are below. Make the Thing in Composer with the template RemoteThing or one below it (or set provision.enabled), and give the application " +
				"key's user the permissions to see and bind it. If another connection holds the name, end that one. The bridge tries again by itself."})
	}
	if g := f.Findings.Absent; g.Count > 0 {
		list = append(list, Advice{Kind: "absent", Level: LevelError, Count: g.Count, Things: g.Things,
			Title: fmt.Sprintf("There is no such Thing on the platform for %s; their values wait.", things(g.Count)),
			Remedy: "Make a Thing of exactly that name (upper and lower case count) with the template RemoteThing or one below it, or set provision.enabled so that the bridge does. " +
				"The bridge looks again every five minutes."})
	}
	return list
}

func adviseBindings(f *Facts) []Advice {
	m := f.Findings.Missing
	if m.Count == 0 {
		return nil
	}
	a := Advice{Kind: "bindings_missing", Level: LevelWarn, Count: m.Count,
		Title: fmt.Sprintf("Properties of %s come and have no remote binding on the platform: their values go nowhere.", things(m.Count)),
		Remedy: "In Composer open the Thing, Properties and Alerts, Manage Bindings, tab Remote: the properties below can be browsed there. Drag them over and save. " +
			"Best do it once in the ThingTemplate that all of them share. What is not wanted may stay as it is."}
	for i := range m.Things {
		t := &m.Things[i]
		a.Things = append(a.Things, t.Thing)
		text := t.Thing + ": " + strings.Join(t.Properties, ", ")
		if t.More > 0 {
			text += fmt.Sprintf(" and %d more", t.More)
		}
		a.Details = append(a.Details, text+fmt.Sprintf(" (%d values)", t.Values))
	}
	return []Advice{a.cut()}
}

func adviseClashes(f *Facts) []Advice {
	if len(f.Bridge.Clashes) == 0 {
		return nil
	}
	a := Advice{Kind: "clash", Level: LevelError, Count: len(f.Bridge.Clashes), Title: "Devices claim a name that another one has.",
		Remedy: "Two devices cannot be one Thing: the first keeps the name. Give one of them another id or identifier, or tell them apart in the profile's thing template."}
	for name, text := range f.Bridge.Clashes {
		a.Details = append(a.Details, name+": "+text)
	}
	slices.Sort(a.Details)
	return []Advice{a.cut()}
}

func adviseUnannounced(f *Facts) []Advice {
	if len(f.Bridge.Unannounced) == 0 {
		return nil
	}
	a := Advice{Kind: "unannounced", Level: LevelWarn, Count: f.Bridge.Strangers, Title: "Devices send and have not announced themselves.",
		Remedy: "What they send waits for an hour after the last message. For a native device publish its announcement, retained: topic things/NAME/announce, payload {} is enough. " +
			"For others see that the broker keeps their announcement (retained), and that a profile for them is configured."}
	for _, u := range f.Bridge.Unannounced {
		a.Details = append(a.Details, fmt.Sprintf("%s: %d waiting", u.Thing, u.Messages))
	}
	a = a.cut()
	if n := len(a.Details) - 1; n == adviceDetails { // the status does not name them all either
		a.Details[n] = fmt.Sprintf("and %d more", f.Bridge.Strangers-adviceDetails)
	}
	return []Advice{a}
}

// quiet are reasons that are everyday life, or told elsewhere.
var quiet = map[string]bool{"null": true, "clash": true, "unknown_rule": true}

// rejectionRemedies say what to do, by the reason of a rejection.
var rejectionRemedies = map[string]string{
	"malformed":  "The payload is not of the form that the rule reads. Look at what the device sends, and at the rule's format and paths.",
	"type":       "The value does not convert to the property's type. Change the type in the announcement or profile, or convert it in the rule's value.",
	"too_large":  "Raise the limit in question (section limits), or have the device send less.",
	"incomplete": "The device has not said all that makes it one, or not retained. Have it announce itself again; of a device that is gone clear what is left of its announcement (empty, retained).",
	"presence":   "The message says neither that the device is there nor that it is not. Correct what it sends, or online and offline of the profile's presence.",
	"definition": "The announcement declares something that cannot be used. Correct it on the device, or in the profile.",
	"name":       "The platform does not take that name. Rename it on the device, or give it another name in the profile.",
	"identity":   "A message speaks for a Thing that it may not speak for. See the broker's access rules, and the profile's topics.",
	"expression": "An expression in the profile fails on this payload. Guard it, for example with ?? or a when.",
	"time":       "The device's clock is wrong: values get the time of receipt, with the quality UNVERIFIED_SOURCE. Set the clock, or leave the time away.",
	"denied":     "allow.things or deny.things keeps it out. Change them if it is wanted.",
	"limit":      "limits.things is reached. Raise it, or have devices leave that are gone.",
}

func adviseRejections(f *Facts) (list []Advice) {
	for _, r := range f.Rejections {
		if quiet[r.Reason] {
			continue
		}
		a := Advice{Kind: "rejected", Level: LevelWarn, Since: r.Last, Details: []string{r.Detail},
			Title:  fmt.Sprintf("Refused by %s (%s), %s.", r.Rule, r.Reason, times(r.Count)),
			Remedy: rejectionRemedies[r.Reason]}
		if r.Topic != "" {
			a.Details = append(a.Details, "on "+r.Topic)
		}
		switch {
		case r.Rule == "-": // it came before all rules
			a.Title = fmt.Sprintf("Refused (%s), %s.", r.Reason, times(r.Count))
		case r.Topic != "":
			a.Remedy += " Try it: thingbridge explain TOPIC PAYLOAD."
		}
		a.Remedy = strings.TrimSpace(a.Remedy)
		a.Things = nonEmpty(r.Thing)
		list = append(list, a)
		if len(list) == 2*adviceDetails {
			break
		}
	}
	return list
}

func adviseSettings(f *Facts) (list []Advice) {
	switch {
	case f.Config == nil:
	case f.Config.Memory():
		list = append(list, Advice{Kind: "memory", Level: LevelWarn, Title: "Nothing outlives the bridge: data_dir is not set.",
			Remedy: "Set data_dir to a folder on a real disk. Until then a stop or crash loses what the platform has not got yet, and the Things are unknown until their devices announce themselves again."})
	case f.Config.OutboxMode() == config.OutboxMemory:
		list = append(list, Advice{Kind: "memory", Level: LevelWarn, Title: "Waiting values are in memory only: outbox.mode is memory.",
			Remedy: "Set outbox.mode to disk (or leave it away). Until then a crash loses what waits for more than five seconds for a Thing that is not bound."})
	}
	return list
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func things(n int) string {
	if n == 1 {
		return "1 Thing"
	}
	return fmt.Sprintf("%d Things", n)
}

// cut bounds the details.
func (a Advice) cut() Advice {
	if n := len(a.Details); n > adviceDetails {
		a.Details = append(a.Details[:adviceDetails:adviceDetails], fmt.Sprintf("and %d more", n-adviceDetails))
	}
	return a
}
