package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
	"thingbridge/bridge/edgethings"
	"thingbridge/bridge/mqttbus"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// consoleSource is what the console shows of an app.
type consoleSource struct{ app *app }

// Links tells the state of both connections.
func (s consoleSource) Links() []console.Link {
	bus, platform := s.app.bus.Status(), s.app.client.Status()
	reason := func(up bool, last string) string {
		switch {
		case up:
			return ""
		case last == "":
			return "not connected yet"
		default:
			return last
		}
	}
	return []console.Link{
		{Name: "broker", Up: bus.Up, Reason: reason(bus.Up, bus.LastError)},
		{Name: "platform", Up: platform.Connected, Reason: reason(platform.Connected, platform.LastError)},
	}
}

// status is the answer of /api/v1/status.
type status struct {
	Version     string               `json:"version"`
	ClientID    string               `json:"clientId"`
	Bridge      bridge.Status        `json:"bridge"`
	Broker      mqttbus.Status       `json:"broker"`
	Platform    platformStatus       `json:"platform"`
	Outbox      outboxStatus         `json:"outbox"`
	Config      reloadState          `json:"config"`
	Edge        map[string]int       `json:"edgeThings,omitempty"` // by the state of their agents; absent where they are not enabled
	EdgeRefused []edgethings.Refusal `json:"edgeThingsRefused,omitempty"`
	Changes     linkChanges          `json:"changes"` // of the connections, oldest first

	AllowCalls bool `json:"allowCalls"` // by the console
}

type linkChanges struct {
	Broker   []bridge.LinkChange `json:"broker"`
	Platform []bridge.LinkChange `json:"platform"`
}

type platformStatus struct {
	Up        bool      `json:"up"`
	Since     time.Time `json:"since,omitzero"` // of the connection, or of its absence
	Session   uint64    `json:"session"`
	Attempts  int       `json:"attempts,omitempty"` // since the last good connection
	LastError string    `json:"lastError,omitempty"`
	RTT       string    `json:"rtt,omitempty"` // of the last ping
	Wanted    int       `json:"wanted"`        // Things that should be bound
	Bound     int       `json:"bound"`
	Refused   int       `json:"refused"`
}

type outboxStatus struct {
	Mode     string            `json:"mode"`
	Records  int               `json:"records"`
	Bytes    int64             `json:"bytes"`
	MaxBytes int64             `json:"maxBytes"`
	Oldest   time.Time         `json:"oldest,omitzero"`
	Things   int               `json:"things"`  // that have records
	Waiting  int               `json:"waiting"` // to be kept
	Dropped  map[string]uint64 `json:"dropped"` // by reason
	FileSize int64             `json:"fileSize,omitempty"`
	Error    string            `json:"error,omitempty"` // why the disk does not write
}

func (s consoleSource) Status() any {
	p, o := s.app.client.Status(), s.app.outbox.Status()
	conf := s.app.reload.current.Load()
	answer := status{
		Version: version, ClientID: conf.MQTT.ClientID, Bridge: s.app.bridge.Status(), Broker: s.app.bus.Status(),
		Platform: platformStatus{
			Up: p.Connected, Since: p.Since, Session: p.Session, Attempts: p.Attempts, LastError: p.LastError,
			Wanted: p.Wanted, Bound: p.Bound, Refused: p.Refused,
		},
		Outbox: outboxStatus{
			Mode: o.Mode, Records: o.Records, Bytes: o.Bytes, MaxBytes: o.MaxBytes, Oldest: o.Oldest,
			Things: o.Things, Waiting: o.Waiting, Dropped: o.Dropped, FileSize: o.FileSize,
		},
		Config: s.app.reload.status(), Edge: s.app.edgeAgents(), EdgeRefused: s.app.edgeRefusals(),
		Changes:    linkChanges{s.app.bridge.LinkChanges(bridge.LinkBroker), s.app.bridge.LinkChanges(bridge.LinkPlatform)},
		AllowCalls: conf.Console.AllowCalls,
	}
	if p.RTT > 0 {
		answer.Platform.RTT = p.RTT.Round(10 * time.Microsecond).String()
	}
	if o.Err != nil {
		answer.Outbox.Error = o.Err.Error()
	}
	return answer
}

func (s consoleSource) Things(q bridge.Selection) bridge.Selected {
	for _, t := range s.app.edgeThings() {
		q.Others = append(q.Others, t.ThingSummary)
	}
	return s.app.bridge.Select(q)
}

// thingView is the answer of /api/v1/things/{name}.
type thingView struct {
	bridge.ThingDetails
	Known         []knownView        `json:"known"`
	Subscriptions []subscriptionView `json:"subscriptions"`      // what the platform asks for
	Metadata      json.RawMessage    `json:"metadata,omitempty"` // as GetMetadata gives it
	Events        []bridge.SeenEvent `json:"events"`             // the latest, newest first
}

// recentEvents is how many of a Thing's latest events are shown.
const recentEvents = 20

type subscriptionView struct {
	Property  string  `json:"property"`
	Push      string  `json:"push"`
	Threshold float64 `json:"threshold"`
}

type knownView struct {
	bridge.KnownValue
	Value any `json:"value"`
	Cut   int `json:"cut,omitempty"` // bytes of the whole value, where Value is the begin of its JSON
}

func (s consoleSource) Thing(name string, maxValue int) (any, bool) {
	d, ok := s.app.bridge.Thing(name)
	if !ok {
		return s.edgeThing(name)
	}
	view := thingView{ThingDetails: d, Known: []knownView{}, Subscriptions: []subscriptionView{}}
	for _, k := range d.Known {
		view.Known = append(view.Known, known(k, maxValue))
	}
	for _, sub := range d.Subscriptions {
		view.Subscriptions = append(view.Subscriptions, subscriptionView{sub.EdgeName, sub.Push.String(), sub.Threshold})
	}
	if meta := s.app.bridge.Metadata(name); meta != nil {
		view.Metadata = meta.JSON()
	}
	view.Events = s.app.bridge.Events(name, recentEvents)
	return view, true
}

// known shows a value, or the begin of its JSON where that has more than most
// bytes; 0 is no limit.
func known(k bridge.KnownValue, most int) knownView {
	view := knownView{KnownValue: k, Value: mapping.ToJSON(k.Value)}
	if most == 0 {
		return view
	}
	if text := mapping.AppendJSON(nil, k.Value); len(text) > most {
		view.Value, view.Cut = strings.ToValidUTF8(string(text[:most]), ""), len(text)
	}
	return view
}

// callFailure is the end of a call without a result, with its HTTP status.
type callFailure struct{ *mapping.CallError }

func (f callFailure) HTTPStatus() int { return f.Code.HTTPStatus() }

func (s consoleSource) Call(ctx context.Context, thing, service string, inputs json.RawMessage) (any, error) {
	var object map[string]any
	dec := json.NewDecoder(strings.NewReader(string(inputs)))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, callFailure{&mapping.CallError{Code: alwayson.BadRequest, Text: fmt.Sprintf("the inputs are not a JSON object: %v", err)}}
	}
	var row []alwayson.Named
	for _, name := range sortedNames(object) {
		row = append(row, alwayson.Named{Name: name, Value: mapping.Infer(object[name])})
	}
	if result, err, mine := s.callEdgeThing(ctx, thing, service, alwayson.OneRow(row...)); mine {
		return result, err
	}
	result, err := s.app.bridge.Call(ctx, thing, service, alwayson.OneRow(row...))
	var failed *mapping.CallError
	if errors.As(err, &failed) {
		return nil, callFailure{failed}
	}
	if err != nil {
		return nil, err
	}
	return mapping.ToJSON(result), nil
}
