package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// A promise in the Store: its version, Thing, property, when it was made and when
// it expires (signed varints in milliseconds), the value as on the wire.
const promiseVersion = 1

var errBadPromise = errors.New("a promised write is damaged")

func encodePromise(p *promise) ([]byte, error) {
	data := appendText([]byte{promiseVersion}, p.thing)
	data = appendText(data, p.property)
	data = binary.AppendVarint(data, p.started.UnixMilli())
	data = binary.AppendVarint(data, p.expires.UnixMilli())
	return alwayson.AppendValue(data, p.value)
}

// decodePromise reads a promise; one in part, with the error, if it is damaged.
func decodePromise(data []byte) (*promise, error) {
	if len(data) == 0 || data[0] != promiseVersion {
		return &promise{}, fmt.Errorf("%w: its version is unknown", errBadPromise)
	}
	r := reader{b: data[1:]}
	p := &promise{thing: string(r.bytes()), property: string(r.bytes()), size: len(data)}
	p.started, p.expires = time.UnixMilli(r.varint()), time.UnixMilli(r.varint())
	p.value = r.value()
	if r.err != nil || len(r.b) > 0 {
		return p, errBadPromise
	}
	return p, nil
}

// restorePromises takes over what an earlier run promised, in its order. The
// Things are registered by now. Limits that are smaller now drop nothing.
func (b *Bridge) restorePromises() error {
	if b.opt.Store == nil {
		return nil
	}
	return b.opt.Store.LoadWrites(func(id uint64, data []byte) error {
		r := b.relay
		r.lastPromise = max(r.lastPromise, id)
		p, err := decodePromise(data)
		p.id = id
		switch {
		case err != nil:
			b.saver.forgetPromise(id, p.thing)
			b.promiseDropped(p.thing, p.property, dropDamaged, err.Error())
		case b.staying(p.thing) == nil:
			r.over(p, dropLeft, "no device announces the Thing any more")
		case !time.Now().Before(p.expires):
			r.over(p, dropExpired, fmt.Sprintf("the device did not show itself within %s", p.expires.Sub(p.started).Round(time.Second)))
		default:
			r.mu.Lock()
			r.addPromiseLocked(p)
			older := r.waitsLocked(p)
			r.mu.Unlock()
			r.supersede(older)
		}
		return nil
	})
}
