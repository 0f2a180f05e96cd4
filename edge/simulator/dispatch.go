package simulator

import (
	"errors"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// message takes one WebSocket message: a whole AlwaysOn message or a chunk.
func (c *conn) message(b []byte) {
	p := c.p
	p.stats.messagesIn.Add(1)
	h, multipart, err := alwayson.ParseHeader(b)
	if err != nil {
		p.stats.badMessages.Add(1)
		p.log.Debug("message without header dropped", "connection", c.id, "bytes", len(b))
		return
	}
	if h.Code == alwayson.AuthCode {
		c.authenticate(h, b)
		return
	}
	session := c.session.Load()
	if session == 0 {
		p.log.Info("edge refused", "connection", c.id, "reason", "message before AUTH", "code", h.Code.String())
		c.close(websocket.ClosePolicyViolation, "AUTH must come first")
		return
	}
	if h.SessionID != session {
		c.wrongSession(h)
		return
	}
	if h.Code.IsStatus() && len(b) == headerSize && !multipart {
		return // PTC's client sends one behind a response of exactly 8171 bytes
	}
	if len(b) > p.opts.MaxMessage {
		c.undecodable(h, fail(alwayson.EntityTooLarge, "message larger than %d bytes", p.opts.MaxMessage))
		return
	}
	now := time.Now()
	if now.Sub(c.sets) > time.Second {
		c.sets = now
		for _, lost := range c.reassembler.Expire(now) {
			c.undecodable(lost, fail(alwayson.BadRequest, "chunks of the message missing after %v", setTimeout))
		}
	}
	whole, body, err := c.decode(now, h, multipart, b)
	switch {
	case errors.Is(err, errIncomplete):
	case errors.Is(err, alwayson.ErrTooLarge):
		c.undecodable(whole, fail(alwayson.EntityTooLarge, "message cannot be read: %v", err))
	case err != nil:
		c.undecodable(whole, fail(alwayson.BadRequest, "message cannot be read: %v", err))
	default:
		c.dispatch(whole, body)
	}
}

// errIncomplete says that more chunks of a message have to come.
var errIncomplete = errors.New("more chunks to come")

// decode reads a whole message, or the one that a chunk completes. The header
// is valid in any case.
func (c *conn) decode(now time.Time, h alwayson.Header, multipart bool, b []byte) (alwayson.Header, alwayson.Body, error) {
	if !multipart {
		m, _, err := alwayson.Parse(b, alwayson.Limits{})
		return h, m.Body, err
	}
	whole, err := c.reassembler.Add(now, b)
	switch {
	case err != nil:
		return h, nil, err
	case !whole.Done:
		return h, nil, errIncomplete
	}
	body, _, err := alwayson.ParseBody(whole.Header, whole.Body, alwayson.Limits{})
	return whole.Header, body, err
}

const headerSize = 15

// dispatch serves one decoded message.
func (c *conn) dispatch(h alwayson.Header, body alwayson.Body) {
	switch b := body.(type) {
	case *alwayson.Request:
		c.p.stats.requests.Add(1)
		c.serveRequest(h, b)
	case *alwayson.Response:
		b.Code = h.Code
		c.finish(h.RequestID, b)
	case *alwayson.Bind:
		if h.Code == alwayson.Unbind {
			c.unbind(h, b)
		} else {
			c.bind(h, b)
		}
	default:
		if h.Code != alwayson.KeepAlive {
			c.p.stats.unknownMethods.Add(1)
			c.p.log.Debug("unknown method ignored", "connection", c.id, "code", h.Code.String())
		}
	}
}

// undecodable answers a message that cannot be read: once per id, because a
// request that PTC's client cuts in two comes as two such messages. A response
// that cannot be read ends the call that waits for it.
func (c *conn) undecodable(h alwayson.Header, resp *alwayson.Response) {
	c.p.stats.badMessages.Add(1)
	c.p.log.Debug("bad message", "connection", c.id, "code", h.Code.String(), "request", h.RequestID, "reason", resp.Reason)
	switch {
	case h.Code.IsStatus():
		c.finish(h.RequestID, fail(alwayson.BadGateway, "the edge's answer cannot be read: %s", resp.Reason))
	case h.Code.IsRequest() || h.Code == alwayson.BindCode || h.Code == alwayson.Unbind:
		if slices.Contains(c.answered[:], h.RequestID) {
			return
		}
		c.answered[c.nextBad] = h.RequestID
		c.nextBad = (c.nextBad + 1) % len(c.answered)
		c.reply(h, resp)
	}
}

// wrongSession refuses a message that carries another session's id.
func (c *conn) wrongSession(h alwayson.Header) {
	c.p.stats.wrongSession.Add(1)
	if h.Code.IsRequest() || h.Code == alwayson.BindCode || h.Code == alwayson.Unbind {
		c.reply(h, fail(alwayson.Unauthorized, "invalid session %d", h.SessionID))
	}
}

// reply answers the message with header h.
func (c *conn) reply(h alwayson.Header, resp *alwayson.Response) {
	code := resp.Code
	if code == 0 {
		code = alwayson.Success
	}
	session := c.session.Load()
	if session == 0 {
		session = alwayson.NoSession
	}
	m := alwayson.Message{
		Header: alwayson.Header{Code: code, RequestID: h.RequestID, EndpointID: h.EndpointID, SessionID: session},
		Body:   resp,
	}
	err := c.send(&m)
	if err == nil {
		return
	}
	m.Code = alwayson.InternalServerError
	if errors.Is(err, alwayson.ErrTooLarge) {
		m.Code = alwayson.EntityTooLarge
	}
	m.Body = fail(m.Code, "answer cannot be sent: %v", err)
	if err = c.send(&m); err != nil {
		c.p.log.Warn("answer lost", "connection", c.id, "request", h.RequestID, "error", err)
	}
}

// serveRequest answers a request of the edge. A fault may hold the answer back.
func (c *conn) serveRequest(h alwayson.Header, req *alwayson.Request) {
	respond := func(resp *alwayson.Response) { c.reply(h, resp) }
	if c.p.faults.any.Load() {
		entity := req.Entity
		respond = func(resp *alwayson.Response) {
			c.p.faults.hold(entity, func() { c.reply(h, resp) })
		}
	}
	c.p.serve(c, h.Code, req, respond)
}
