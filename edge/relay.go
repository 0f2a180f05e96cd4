package edge

import (
	"fmt"
	"strings"

	"thingbridge/edge/alwayson"
)

// notBuilt are the file transfer and tunnel services.
var notBuilt = map[string]bool{
	"BrowseDirectory": true, "ListFiles": true, "GetFileInfo": true, "ReadFromBinaryFile": true, "CreateBinaryFile": true,
	"WriteToBinaryFile": true, "StartFileTransfer": true, "CancelFileTransfer": true, "CompleteFileTransfer": true,
	"GetTransferInfo": true, "GetFileChecksum": true, "GetDirectoryStructure": true, "GetFileListing": true,
	"ListDirectories": true, "MakeDirectory": true, "MoveFile": true, "DeleteFile": true,
	"StartTunnel": true, "CompleteTunnel": true, "TunnelCommandToEdge": true,
}

// serve takes one request of the platform: the synchronisation is the client's
// own business, the rest goes to the handler. It runs on the reader's goroutine.
func (c *Client) serve(q *served, req *alwayson.Request) {
	if req.EntityType != alwayson.EntityThing {
		q.respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("%v %q is not served here; only Things are", req.EntityType, req.Entity)))
		return
	}
	th, ok := c.things.find(req.Entity)
	if g := q.s.opt.Gateway; !ok && g != nil && strings.EqualFold(g.Name, req.Entity) {
		c.serveGateway(q, g.Name, req)
		return
	}
	if !ok {
		q.respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("Thing %q is not bound here", req.Entity)))
		return
	}
	if req.Characteristic == alwayson.Services && q.h.Code == alwayson.Post {
		switch {
		case req.Name == alwayson.ServiceNotifyPropertyUpdate:
			q.respond(alwayson.OK(alwayson.Value{}))
			c.things.notified(q.s, th)
			return
		case req.Name == alwayson.ServiceSynchronize:
			c.synchronize(q, th, req)
			return
		case notBuilt[req.Name]:
			q.respond(alwayson.Fail(alwayson.NotImplemented, fmt.Sprintf("service %s is not offered by this bridge", req.Name)))
			return
		}
	}
	method := q.h.Code
	c.events.post(func() {
		if !q.answered.Load() {
			c.h.Request(th.name, method, req, q.respond)
		}
	})
}

// serveGateway takes a request for the Thing that the connection itself shows as,
// which is not among those bound. Of the synchronisation only that is served which
// comes with its subscriptions: nothing asks for them otherwise.
func (c *Client) serveGateway(q *served, name string, req *alwayson.Request) {
	method := q.h.Code
	if req.Characteristic == alwayson.Services && method == alwayson.Post {
		switch req.Name {
		case alwayson.ServiceNotifyPropertyUpdate:
			q.respond(alwayson.OK(alwayson.Value{}))
			return
		case alwayson.ServiceSynchronize:
			if subs, ok := subscriptionsOf(q, req); ok {
				c.events.post(func() { c.h.Subscribed(name, subs) })
				c.currentValues(q, name)
			}
			return
		}
	}
	c.events.post(func() {
		if !q.answered.Load() {
			c.h.Request(name, method, req, q.respond)
		}
	})
}

// synchronize serves SynchronizeModelState: the subscriptions come with it, the
// current values go back.
func (c *Client) synchronize(q *served, th *thing, req *alwayson.Request) {
	if subs, ok := subscriptionsOf(q, req); ok {
		c.things.deliver(q.s, th, subs)
		c.currentValues(q, th.name)
	}
}

// subscriptionsOf reads what SynchronizeModelState brings; where it cannot be
// read the request is answered so.
func subscriptionsOf(q *served, req *alwayson.Request) ([]alwayson.Subscription, bool) {
	info := req.Params.Cell(0, "propertyInfo").Unwrap().Table()
	if info == nil {
		q.respond(alwayson.Fail(alwayson.BadRequest, "SynchronizeModelState: no info table propertyInfo"))
		return nil, false
	}
	subs, err := alwayson.SubscriptionsFromTable(info)
	if err != nil {
		q.respond(alwayson.Fail(alwayson.BadRequest, fmt.Sprintf("SynchronizeModelState: propertyInfo: %v", err)))
		return nil, false
	}
	return q.s.bounded(subs), true
}

// fitting leaves the values that one message holds. The others reach the platform as
// they are pushed; without an answer it would take the synchronisation for failed.
func fitting(values []alwayson.PropertyValue, opt *Options) []alwayson.PropertyValue {
	const around = 256 // the table's fields, and the like
	room := alwayson.MaxBody("", opt.Chunk, opt.MaxMessage) - around
	fit := make([]alwayson.PropertyValue, 0, len(values))
	for i := range values {
		if size := values[i].EncodedSize(); size <= room {
			room -= size
			fit = append(fit, values[i])
		}
	}
	return fit
}

// currentValues answers SynchronizeModelState.
func (c *Client) currentValues(q *served, name string) {
	c.events.post(func() {
		values := alwayson.ValuesTable(fitting(c.h.CurrentValues(name), q.s.opt))
		q.respond(alwayson.OK(alwayson.NewTable(values)))
	})
}
