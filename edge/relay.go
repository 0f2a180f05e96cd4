package edge

import (
	"fmt"

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

// synchronize serves SynchronizeModelState: the subscriptions come with it, the
// current values go back.
func (c *Client) synchronize(q *served, th *thing, req *alwayson.Request) {
	info := req.Params.Cell(0, "propertyInfo").Unwrap().Table()
	if info == nil {
		q.respond(alwayson.Fail(alwayson.BadRequest, "SynchronizeModelState: no info table propertyInfo"))
		return
	}
	subs, err := alwayson.SubscriptionsFromTable(info)
	if err != nil {
		q.respond(alwayson.Fail(alwayson.BadRequest, fmt.Sprintf("SynchronizeModelState: propertyInfo: %v", err)))
		return
	}
	c.things.deliver(q.s, th, subs)
	c.events.post(func() {
		values := alwayson.ValuesTable(c.h.CurrentValues(th.name))
		q.respond(alwayson.OK(alwayson.NewTable(values)))
	})
}
