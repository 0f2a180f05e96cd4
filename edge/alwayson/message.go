package alwayson

import "encoding/binary"

// ParseHeader decodes the 15-byte header at the start of b and reports whether
// b is a chunk of a multipart message. The version byte is not checked (rule H2).
func ParseHeader(b []byte) (h Header, multipart bool, err error) {
	if len(b) < headerSize {
		return Header{}, false, &DecodeError{Offset: len(b), What: "message header", Err: ErrTruncated}
	}
	h = Header{
		Code:       Code(b[1]),
		RequestID:  binary.BigEndian.Uint32(b[2:]),
		EndpointID: binary.BigEndian.Uint32(b[6:]),
		SessionID:  binary.BigEndian.Uint32(b[10:]),
	}
	return h, b[14] != 0, nil
}

// Parse decodes one whole message and returns the number of bytes left over
// behind it, which are to be ignored (rule B1). When the body cannot be decoded the
// error is a *DecodeError and the Message still has its Header, so that a
// request can be answered BAD_REQUEST; only when even the header is cut short
// is the Message zero. A chunk of a multipart message is refused with ErrBadChunk.
func Parse(b []byte, lim Limits) (m Message, rest int, err error) {
	h, multipart, err := ParseHeader(b)
	if err != nil {
		return Message{}, 0, err
	}
	m.Header = h
	if multipart {
		return m, 0, &DecodeError{Offset: headerSize - 1, What: "whole message", Err: ErrBadChunk}
	}
	m.Body, rest, err = parseBody(h, b[headerSize:], headerSize, lim)
	return m, rest, err
}

// ParseBody decodes the body that belongs to h, as a Reassembler gives it, and
// returns the number of bytes left over behind it. The offset of an error
// counts from the start of body. The Body is nil, without error, for KEEP_ALIVE
// and for an unknown method, whatever follows, and for a response that ends
// with its header, which is to be ignored (rule B5).
func ParseBody(h Header, body []byte, lim Limits) (b Body, rest int, err error) {
	return parseBody(h, body, 0, lim)
}

func parseBody(h Header, body []byte, base int, lim Limits) (Body, int, error) {
	d := newDecoder(body, base, lim)
	var b Body
	switch {
	case h.Code.IsStatus():
		if len(body) == 0 {
			return nil, 0, nil
		}
		b = d.response(h.Code)
	case h.Code.IsRequest():
		b = d.request()
	case h.Code == AuthCode:
		b = d.auth()
	case h.Code == BindCode, h.Code == Unbind:
		b = d.bind()
	default:
		return nil, len(body), nil
	}
	if d.err != nil {
		return nil, 0, d.err
	}
	return b, d.rest(), nil
}

// auth reads claims. A last value that ends early is kept as the prefix it is:
// PTC's client sends a key of more than 127 bytes three bytes short (rule B4).
func (d *decoder) auth() *Auth {
	n := int(d.u8("claim count"))
	a := &Auth{Claims: make([]Claim, 0, min(n, d.rest()))}
	for i := range n {
		c := Claim{Name: d.text("claim name")}
		length := d.textLength("claim value")
		if have := d.rest(); d.err == nil && i == n-1 && length > have {
			length, a.Cut = have, true
		}
		c.Value = d.cut(length, "claim value")
		if d.err != nil {
			return nil
		}
		a.Claims = append(a.Claims, c)
	}
	return a
}

func (d *decoder) bind() *Bind {
	b := new(Bind)
	if d.u8("gateway marker") != 0 {
		b.Gateway = &Gateway{Name: d.text("gateway name"), Type: d.text("gateway type")}
	}
	at := d.off
	n := d.u16("name count")
	if n > d.rest() { // a name's length at least
		d.fail(at, "name count", ErrTruncated)
	}
	if d.err != nil {
		return nil
	}
	b.Names = make([]string, n)
	for i := range b.Names {
		b.Names[i] = d.text("thing name")
		if d.err != nil {
			return nil
		}
	}
	return b
}

// request reads a request. One that ends where its parameters' type byte
// should stand has none (rule B2). Its headers are kept (rule B3).
func (d *decoder) request() *Request {
	r := &Request{
		EntityType:     EntityType(d.u8("entity type")),
		Entity:         d.text("entity name"),
		Characteristic: Characteristic(d.u8("characteristic")),
		Name:           d.text("characteristic name"),
	}
	n := int(d.u8("header count"))
	for range n {
		h := Claim{Name: d.text("header name"), Value: d.text("header value")}
		if d.err != nil {
			return nil
		}
		r.Headers = append(r.Headers, h)
	}
	if d.err != nil || d.rest() == 0 {
		return r
	}
	at := d.off
	params := d.value(0).Unwrap()
	if !params.IsNothing() && params.Table() == nil {
		d.fail(at, "parameters of type "+params.Type().String(), ErrBadType)
	}
	r.Params = params.Table()
	return r
}

// response reads a reason, if marked, and content of any type (rule B6).
func (d *decoder) response(c Code) *Response {
	r := &Response{Code: c}
	if d.u8("reason marker") != 0 {
		r.HasReason = true
		r.Reason = d.text("reason")
	}
	r.Content = d.value(0)
	return r
}
