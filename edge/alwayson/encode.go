package alwayson

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Append appends the whole message's canonical encoding to dst and returns the
// longer slice. It allocates only when dst has no room. On an error, which is an
// *EncodeError, dst is returned as it was. Only KEEP_ALIVE and a response may
// be without Body; the latter is the bare header that a peer ignores.
func Append(dst []byte, m *Message) ([]byte, error) {
	if !bodyFits(m.Code, m.Body) {
		return dst, &EncodeError{What: m.Code.String() + " message", Err: ErrBadBody}
	}
	out := append(dst, version, byte(m.Code))
	out = binary.BigEndian.AppendUint32(out, m.RequestID)
	out = binary.BigEndian.AppendUint32(out, m.EndpointID)
	out = binary.BigEndian.AppendUint32(out, m.SessionID)
	out = append(out, 0)
	if m.Body == nil {
		return out, nil
	}
	out, err := m.Body.appendTo(out)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func bodyFits(c Code, b Body) bool {
	switch b := b.(type) {
	case nil:
		return c == KeepAlive || c.IsStatus()
	case *Auth:
		return b != nil && c == AuthCode
	case *Bind:
		return b != nil && (c == BindCode || c == Unbind)
	case *Request:
		return b != nil && c.IsRequest()
	case *Response:
		return b != nil && c.IsStatus() && (b.Code == 0 || b.Code == c)
	}
	return false
}

// AppendValue appends a primitive, its type byte first, to dst.
func AppendValue(dst []byte, v Value) ([]byte, error) {
	out, err := appendValue(dst, v, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendTable appends an info table, without a type byte before it, to dst.
// Rows are filled up with NOTHING to the number of fields, by at most 500,000
// cells in all, so that a received table cannot grow without bound.
func AppendTable(dst []byte, t *InfoTable) ([]byte, error) {
	if t == nil {
		return dst, &EncodeError{What: "table that is nil", Err: ErrBadType}
	}
	out, err := appendTable(dst, t, 1)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendText(dst []byte, s string) ([]byte, error) {
	switch {
	case len(s) < shortString:
		dst = append(dst, byte(len(s)))
	case len(s) > math.MaxInt32:
		return dst, &EncodeError{What: "text of " + strconv.Itoa(len(s)) + " bytes", Err: ErrBadCount}
	default:
		dst = binary.BigEndian.AppendUint32(dst, longString|uint32(len(s)))
	}
	return append(dst, s...), nil
}

// appendTexts appends several strings.
func appendTexts(dst []byte, texts ...string) (_ []byte, err error) {
	for _, s := range texts {
		if dst, err = appendText(dst, s); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendValue(dst []byte, v Value, depth int) ([]byte, error) {
	depth += int(v.variants)
	if depth > DefaultDepth {
		return dst, &EncodeError{What: "VARIANT", Err: ErrTooDeep}
	}
	for range v.variants {
		dst = append(dst, byte(TypeVariant))
	}
	t := v.base()
	dst = append(dst, byte(t))
	switch {
	case t.IsText():
		return appendText(dst, v.text)
	case t == TypeNumber, t == TypeDateTime, t == TypeLong:
		return binary.BigEndian.AppendUint64(dst, v.num), nil
	case t == TypeInteger:
		return binary.BigEndian.AppendUint32(dst, uint32(v.num)), nil
	case t == TypeBoolean:
		return append(dst, byte(v.num)), nil
	case t == TypeInfoTable:
		return appendTable(dst, v.table, depth+1)
	case t == TypeLocation:
		return append(dst, v.text...), nil
	case t == TypeBlob, t == TypeImage:
		if len(v.text) > math.MaxInt32 {
			return dst, &EncodeError{What: t.String() + " of " + strconv.Itoa(len(v.text)) + " bytes", Err: ErrBadCount}
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.text)))
		return append(dst, v.text...), nil
	}
	return dst, nil // NOTHING
}

func appendTable(dst []byte, t *InfoTable, depth int) (_ []byte, err error) {
	if depth > DefaultDepth {
		return dst, &EncodeError{What: "INFOTABLE", Err: ErrTooDeep}
	}
	if len(t.Fields) > math.MaxUint16 {
		return dst, &EncodeError{What: "table of " + strconv.Itoa(len(t.Fields)) + " fields", Err: ErrBadCount}
	}
	for i := range t.Fields {
		if dst, err = appendField(dst, &t.Fields[i], depth+1); err != nil {
			return dst, err
		}
	}
	dst = append(dst, 0)
	missing := 0
	for i, row := range t.Rows {
		if len(row) > len(t.Fields) {
			what := "row " + strconv.Itoa(i) + " of a table of " + strconv.Itoa(len(t.Fields)) + " fields"
			return dst, &EncodeError{What: what, Err: ErrLongRow}
		}
		dst = append(dst, tableMarker)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.Fields)))
		for _, v := range row {
			if dst, err = appendValue(dst, v, depth); err != nil {
				return dst, err
			}
		}
		if missing += len(t.Fields) - len(row); missing > DefaultCells {
			return dst, &EncodeError{What: "cells that rows lack", Err: ErrTooMany}
		}
		for range len(t.Fields) - len(row) { // I2
			dst = append(dst, 0xFF)
		}
	}
	return append(dst, 0), nil
}

func appendField(dst []byte, f *Field, depth int) (_ []byte, err error) {
	if f.Type == TypeTimespan || f.Type == TypeSchedule { // V2
		return dst, &EncodeError{What: "field " + strconv.Quote(f.Name) + " of type " + f.Type.String(), Err: ErrBadType}
	}
	if len(f.Aspects) > math.MaxUint16 {
		return dst, &EncodeError{What: "aspects of field " + strconv.Quote(f.Name), Err: ErrBadCount}
	}
	dst = append(dst, tableMarker)
	if dst, err = appendTexts(dst, f.Name, f.Description); err != nil {
		return dst, err
	}
	dst = append(dst, byte(f.Type))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.Aspects)))
	if len(f.Aspects) > 0 && depth > DefaultDepth {
		return dst, &EncodeError{What: "aspects of field " + strconv.Quote(f.Name), Err: ErrTooDeep}
	}
	for i := range f.Aspects {
		if dst, err = appendText(dst, f.Aspects[i].Name); err != nil {
			return dst, err
		}
		if dst, err = appendValue(dst, f.Aspects[i].Value, depth); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (a *Auth) appendTo(dst []byte) (_ []byte, err error) {
	if len(a.Claims) > math.MaxUint8 {
		return dst, &EncodeError{What: "AUTH of " + strconv.Itoa(len(a.Claims)) + " claims", Err: ErrBadCount}
	}
	dst = append(dst, byte(len(a.Claims)))
	for _, c := range a.Claims {
		if dst, err = appendTexts(dst, c.Name, c.Value); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (b *Bind) appendTo(dst []byte) (_ []byte, err error) {
	if len(b.Names) > math.MaxUint16 {
		return dst, &EncodeError{What: "BIND of " + strconv.Itoa(len(b.Names)) + " names", Err: ErrBadCount}
	}
	if b.Gateway == nil {
		dst = append(dst, 0)
	} else if dst, err = appendTexts(append(dst, 1), b.Gateway.Name, b.Gateway.Type); err != nil {
		return dst, err
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b.Names)))
	return appendTexts(dst, b.Names...)
}

func (r *Request) appendTo(dst []byte) (_ []byte, err error) {
	if dst, err = appendText(append(dst, byte(r.EntityType)), r.Entity); err != nil {
		return dst, err
	}
	if dst, err = appendText(append(dst, byte(r.Characteristic)), r.Name); err != nil {
		return dst, err
	}
	dst = append(dst, 0) // no headers, rule B3
	return appendValue(dst, NewTable(r.Params), 0)
}

func (r *Response) appendTo(dst []byte) (_ []byte, err error) {
	if !r.HasReason && r.Reason == "" {
		dst = append(dst, 0)
	} else if dst, err = appendText(append(dst, 1), r.Reason); err != nil {
		return dst, err
	}
	return appendValue(dst, r.Content, 0)
}
