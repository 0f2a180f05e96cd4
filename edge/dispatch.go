package edge

import (
	"errors"
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// dispatch handles one WebSocket message. Whatever it holds costs at most the
// AlwaysOn message that it belongs to. Nothing of b is kept.
func (s *session) dispatch(b []byte) {
	h, multipart, err := alwayson.ParseHeader(b)
	switch {
	case err != nil:
		s.m.undecodable(badHeader)
		s.log.Debug("message without header", "bytes", len(b))
	case h.Code == alwayson.Success && h.RequestID == alwayson.NoRequest:
		s.adopt(h)
	case len(b) > s.opt.MaxMessage:
		s.tooLarge(h, fmt.Errorf("message of more than %d bytes", s.opt.MaxMessage))
	case multipart:
		s.part(h, b)
	default:
		m, _, err := alwayson.Parse(b, s.opt.Limits)
		s.message(h, m.Body, len(b), err)
	}
}

// adopt takes over what an unasked SUCCESS says.
func (s *session) adopt(h alwayson.Header) {
	if h.SessionID != alwayson.NoSession {
		s.sessionID.Store(h.SessionID)
	}
	if h.EndpointID != alwayson.NoRequest {
		s.endpointID.Store(h.EndpointID)
	}
}

// part adds one chunk of a multipart message and handles the message once it is whole.
func (s *session) part(h alwayson.Header, b []byte) {
	s.parts.Lock()
	whole, err := s.parts.all.Add(time.Now(), b)
	s.parts.Unlock()
	switch {
	case errors.Is(err, alwayson.ErrTooLarge):
		s.tooLarge(h, err)
	case errors.Is(err, alwayson.ErrPending):
		s.m.undecodable(badParts)
		s.spoilt(h, err, alwayson.ServiceUnavailable)
	case err != nil:
		s.m.undecodable(badParts)
		s.spoilt(h, err, alwayson.BadRequest)
	case whole.Done:
		body, _, err := alwayson.ParseBody(whole.Header, whole.Body, s.opt.Limits)
		s.message(whole.Header, body, len(whole.Body), err)
	}
}

// message handles one whole message of so many bytes; err says why its body cannot be read.
func (s *session) message(h alwayson.Header, body alwayson.Body, bytes int, err error) {
	if err != nil {
		s.m.undecodable(badBody)
		s.log.Debug("undecodable message", "code", h.Code, "request", h.RequestID, "error", err)
		s.spoilt(h, err, alwayson.BadRequest)
		return
	}
	switch b := body.(type) {
	case *alwayson.Response:
		b.Code = h.Code
		s.finish(h, b, nil)
	case *alwayson.Request:
		s.accept(h, b, bytes)
	case *alwayson.Auth, *alwayson.Bind:
		s.reply(h, alwayson.Fail(alwayson.BadRequest, fmt.Sprintf("%v is not for an edge to answer", h.Code)))
	default:
		// A response that ends with its header, KEEP_ALIVE or an unknown method: no answer.
		s.log.Debug("message ignored", "code", h.Code, "request", h.RequestID)
	}
}

// tooLarge gives up a message that is over the limit.
func (s *session) tooLarge(h alwayson.Header, err error) {
	s.m.undecodable(badSize)
	s.spoilt(h, err, alwayson.EntityTooLarge)
}

// spoilt ends what waits for a message that cannot be used: the platform's
// request with an answer of that code, our call with the error.
func (s *session) spoilt(h alwayson.Header, err error, code alwayson.Code) {
	switch {
	case h.Code.IsStatus():
		s.finish(h, nil, fmt.Errorf("answer %v of the platform cannot be used: %w", h.Code, err))
	case h.Code.IsRequest(), h.Code == alwayson.AuthCode, h.Code == alwayson.BindCode, h.Code == alwayson.Unbind:
		s.reply(h, alwayson.Fail(code, err.Error()))
	}
}
