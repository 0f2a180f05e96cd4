package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// fileServices are the platform's file-transfer and tunnel services, which
// some templates call on their own account. They are no device's business.
var fileServices = map[string]bool{
	"BrowseDirectory": true, "ListFiles": true, "GetFileInfo": true, "ReadFromBinaryFile": true, "CreateBinaryFile": true,
	"WriteToBinaryFile": true, "StartFileTransfer": true, "CancelFileTransfer": true, "CompleteFileTransfer": true,
	"GetTransferInfo": true, "GetFileChecksum": true, "GetDirectoryStructure": true, "GetFileListing": true,
	"ListDirectories": true, "MakeDirectory": true, "MoveFile": true, "DeleteFile": true,
	"StartTunnel": true, "CompleteTunnel": true, "TunnelCommandToEdge": true,
}

// callService serves a request for a service of a device.
func (b *Bridge) callService(t *thing, service string, params *alwayson.InfoTable, respond func(*alwayson.Response)) {
	if service == "GetMetadata" {
		b.metadata(t, respond)
		return
	}
	b.mu.Lock()
	_, declared := serviceOf(t.device, service)
	b.mu.Unlock()
	if fileServices[service] && !declared {
		respond(alwayson.Fail(alwayson.NotImplemented, service+" is not implemented: devices on MQTT have no files and no tunnels"))
		return
	}
	b.startService(t, service, params, func(v alwayson.Value, err *mapping.CallError) {
		if err != nil {
			respond(failure(err))
			return
		}
		respond(serviceResult(v))
	})
}

// startService calls a service of a device, for the platform or the console.
func (b *Bridge) startService(t *thing, service string, params *alwayson.InfoTable, end func(alwayson.Value, *mapping.CallError)) {
	if !b.inForce().services.permits(service) {
		b.metrics.call("service", "not_found", 0)
		end(alwayson.Value{}, &mapping.CallError{Code: alwayson.NotFound,
			Text: fmt.Sprintf("service %q of %s is not offered (allow.services, deny.services)", service, t.name)})
		return
	}
	c, err := b.engine.Load().Call(t.name, service, params)
	if err != nil {
		b.refusedCall("service", err, end)
		return
	}
	if off := b.offline(t); off != nil {
		b.refusedCall("service", off, end)
		return
	}
	b.relay.start(t, "service", c, end)
}

// refusedCall ends a call that was not started.
func (b *Bridge) refusedCall(kind string, err error, end func(alwayson.Value, *mapping.CallError)) {
	e := callError(err)
	outcome := "invalid"
	switch e.Code {
	case alwayson.NotFound, alwayson.MethodNotAllowed:
		outcome = "not_found"
	case alwayson.ServiceUnavailable:
		outcome = "unavailable"
	}
	b.metrics.call(kind, outcome, 0)
	end(alwayson.Value{}, e)
}

// offline is the error for a device that is not there, nil if it is.
func (b *Bridge) offline(t *thing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wantedLocked(t) {
		return nil
	}
	return &mapping.CallError{Code: alwayson.ServiceUnavailable, Text: fmt.Sprintf("the device of %s is offline", t.name)}
}

func serviceOf(d *mapping.Device, name string) (*mapping.Service, bool) {
	if d.Definitions == nil {
		return nil, false
	}
	s, ok := d.Definitions.Services[name]
	return s, ok
}

// failure is the platform's form of a call's error; its text is what the
// platform's user reads.
func failure(err *mapping.CallError) *alwayson.Response {
	return alwayson.Fail(err.Code, cutAt(err.Text, mostOfError))
}

// mostOfError is how much of a device's error is told, in bytes: it fits any message.
const mostOfError = 4096

func serviceResult(v alwayson.Value) *alwayson.Response {
	switch v.Type() {
	case alwayson.TypeNothing, alwayson.TypeInfoTable:
		return alwayson.OK(v)
	}
	return alwayson.OK(alwayson.NewTable(alwayson.NewResult(v)))
}

// metadata answers GetMetadata with what the device declares and the
// configuration allows.
func (b *Bridge) metadata(t *thing, respond func(*alwayson.Response)) {
	m := b.engine.Load().Metadata(t.name)
	if m == nil {
		respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("no device has announced itself as %q here", t.name)))
		return
	}
	shown := *m
	shown.Services = slices.DeleteFunc(slices.Clone(m.Services), func(s alwayson.ServiceDefinition) bool { return !b.inForce().services.permits(s.Name) })
	respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewText(alwayson.TypeJSON, string(shown.JSON()))))))
}

// readProperties serves GET: one property, or with no name or * all known ones.
func (b *Bridge) readProperties(t *thing, name string, respond func(*alwayson.Response)) {
	if name == "" || name == "*" {
		b.mu.Lock()
		row := make([]alwayson.Named, 0, len(t.known))
		for i := range t.known {
			row = append(row, alwayson.Named{Name: t.known[i].Name, Value: t.known[i].Value})
		}
		b.mu.Unlock()
		respond(alwayson.OK(alwayson.NewTable(alwayson.OneRow(row...))))
		return
	}
	b.read(t, name, func(v alwayson.Value, err *mapping.CallError) {
		if err != nil {
			respond(failure(err))
			return
		}
		respond(alwayson.OK(alwayson.NewTable(alwayson.OneRow(alwayson.Named{Name: name, Value: v}))))
	})
}

// read gives a property's last known value; it asks the device where none is
// known or the known one is too old.
func (b *Bridge) read(t *thing, name string, end func(alwayson.Value, *mapping.CallError)) {
	b.mu.Lock()
	k := t.knownLocked(name)
	var v alwayson.Value
	fresh := false
	if k != nil {
		v = k.Value
		maxAge := maxAgeOf(t.device, name)
		fresh = maxAge <= 0 || time.Since(k.received) <= maxAge
	}
	b.mu.Unlock()
	if fresh {
		b.metrics.call("read", "ok", 0)
		end(v, nil)
		return
	}
	c, err := b.engine.Load().Read(t.name, name)
	switch {
	case err != nil && k != nil:
		b.metrics.call("read", "ok", 0)
		end(v, nil)
		return
	case err == nil:
		err = b.offline(t)
	}
	if err != nil {
		b.refusedCall("read", err, end)
		return
	}
	b.relay.start(t, "read", c, end)
}

func maxAgeOf(d *mapping.Device, property string) time.Duration {
	if d.Definitions == nil || d.Definitions.Properties[property] == nil {
		return 0
	}
	return d.Definitions.Properties[property].MaxAge
}

// writeProperties serves PUT: one property; with the name * one per field; the
// field _content_ holds a JSON object of them.
func (b *Bridge) writeProperties(t *thing, name string, params *alwayson.InfoTable, respond func(*alwayson.Response)) {
	writes, problem := writesOf(name, params)
	if problem != "" {
		respond(alwayson.Fail(alwayson.BadRequest, problem))
		return
	}
	var mu sync.Mutex
	left := len(writes)
	var failed []string
	var code alwayson.Code
	for _, w := range writes {
		b.write(t, w.Name, w.Value, func(_ alwayson.Value, err *mapping.CallError) {
			mu.Lock()
			left--
			last := left == 0
			if err != nil {
				failed = append(failed, err.Text)
				if code == 0 {
					code = err.Code
				}
			}
			mu.Unlock()
			switch {
			case last && code != 0:
				respond(alwayson.Fail(code, cutAt(strings.Join(failed, "; "), mostFailures)))
			case last:
				respond(alwayson.OK(alwayson.Value{}))
			}
		})
	}
}

// mostFailures is how much is told of why the writes of one request failed, in bytes.
const mostFailures = 4096

func (b *Bridge) write(t *thing, name string, v alwayson.Value, end func(alwayson.Value, *mapping.CallError)) {
	c, err := b.engine.Load().Write(t.name, name, v)
	if err == nil {
		err = b.offline(t)
	}
	if err != nil {
		b.refusedCall("write", err, end)
		return
	}
	b.relay.startWrite(t, c, v, end)
}

const contentField = "_content_"

// writesOf reads the properties and values out of a PUT.
func writesOf(name string, params *alwayson.InfoTable) (writes []alwayson.Named, problem string) {
	if params == nil || len(params.Rows) == 0 || len(params.Fields) == 0 {
		return nil, "a write needs a row with a field for each property"
	}
	if i := params.Column(contentField); i >= 0 {
		return contentWrites(params.At(0, i).Unwrap().Text())
	}
	if name != "" && name != "*" {
		i := params.Column(name)
		if i < 0 && len(params.Fields) == 1 {
			i = 0
		}
		if i < 0 {
			return nil, fmt.Sprintf("the write of %q has no field of that name", name)
		}
		return []alwayson.Named{{Name: name, Value: params.At(0, i).Unwrap()}}, ""
	}
	for i := range params.Fields {
		writes = append(writes, alwayson.Named{Name: params.Fields[i].Name, Value: params.At(0, i).Unwrap()})
	}
	return writes, ""
}

func contentWrites(text string) (writes []alwayson.Named, problem string) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil || len(object) == 0 {
		return nil, "the field _content_ is not a JSON object of properties"
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		writes = append(writes, alwayson.Named{Name: name, Value: mapping.Infer(object[name])})
	}
	return writes, ""
}

// Call calls a service of a device as the platform would, and waits for its
// end. The error is a *mapping.CallError, or ctx's.
func (b *Bridge) Call(ctx context.Context, thing, service string, inputs *alwayson.InfoTable) (alwayson.Value, error) {
	t := b.thing(thing)
	if t == nil {
		return alwayson.Value{}, &mapping.CallError{Code: alwayson.NotFound, Text: fmt.Sprintf("no device has announced itself as %q here", thing)}
	}
	type ending struct {
		v   alwayson.Value
		err *mapping.CallError
	}
	done := make(chan ending, 1)
	b.startService(t, service, inputs, func(v alwayson.Value, err *mapping.CallError) { done <- ending{v, err} })
	select {
	case e := <-done:
		if e.err != nil {
			return alwayson.Value{}, e.err
		}
		return e.v, nil
	case <-ctx.Done():
		return alwayson.Value{}, ctx.Err()
	}
}
