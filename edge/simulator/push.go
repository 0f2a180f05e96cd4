package simulator

import (
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// Pushed is one value as it came in an UpdateSubscribedPropertyValues, kept or dropped.
type Pushed struct {
	Push       uint64 // counts the pushes of the whole platform; values of one push share it
	Connection uint64 // of the edge; 0: REST or the program itself
	Received   time.Time
	alwayson.PropertyValue
	Dropped string // why it was not stored; empty: it was
}

// Why pushed values are dropped.
const (
	droppedNotAsked = "the edge has not asked for the subscriptions"
	droppedUnbound  = "no property is bound to this name"
	droppedNull     = "null value"
	droppedType     = "value does not fit the property"
)

// takePush stores the values of an UpdateSubscribedPropertyValues.
func (p *Platform) takePush(from *conn, t *thing, req *alwayson.Request) *alwayson.Response {
	table := params{req.Params}.table("values")
	if table == nil {
		return fail(alwayson.BadRequest, "UpdateSubscribedPropertyValues of thing [%s]: parameter values is missing", t.name)
	}
	p.store(t, from, table, time.Now())
	return ok(alwayson.Value{})
}

// store keeps the values of a table with the columns name, value, time and
// quality. Values of an edge count only once it asked for the subscriptions.
func (p *Platform) store(t *thing, from *conn, table *alwayson.InfoTable, now time.Time) {
	push := p.stats.pushes.Add(1)
	asked := true
	var connection uint64
	if from != nil {
		connection = from.id
		ep := t.bound()
		asked = ep != nil && ep.c == from && ep.open.Load()
	}
	name, value := table.Column("name"), table.Column("value")
	at, quality := table.Column("time"), table.Column("quality")
	var stored, dropped uint64
	t.mu.Lock()
	for row := range table.Rows {
		v := alwayson.PropertyValue{
			Name: table.At(row, name).Unwrap().Text(), Value: table.At(row, value).Unwrap(),
			Time: now.UnixMilli(), Quality: internQuality(table.At(row, quality).Unwrap().Text()),
		}
		if given := table.At(row, at).Unwrap(); given.Type() == alwayson.TypeDateTime {
			v.Time = given.Millis()
		}
		why := ""
		bound := t.byEdge[v.Name]
		switch {
		case !asked:
			why = droppedNotAsked
		case len(bound) == 0:
			why = droppedUnbound
		case v.Value.IsNothing():
			why = droppedNull
		}
		v.Value = own(v.Value)
		if len(bound) == 0 {
			v.Name = strings.Clone(v.Name)
		} else {
			v.Name = bound[0].binding.edgeName
		}
		if why == "" {
			for _, pr := range bound {
				fitted, fits := pr.accept(v)
				if !fits {
					why = droppedType
					continue
				}
				pr.storeLocked(fitted, now)
			}
		}
		if why == "" {
			stored++
		} else {
			dropped++
			p.stats.drop(why)
		}
		t.pushes.add(Pushed{Push: push, Connection: connection, Received: now, PropertyValue: v, Dropped: why})
	}
	t.mu.Unlock()
	p.stats.values.Add(stored)
	p.stats.valuesDropped.Add(dropped)
}

// own gives a value that keeps no more memory alive than it needs: decoding
// cuts texts from larger pieces.
func own(v alwayson.Value) alwayson.Value {
	if v.Type().IsText() {
		return alwayson.NewText(v.Type(), strings.Clone(v.Text()))
	}
	return v
}

// internQuality shares the usual quality texts.
func internQuality(q string) string {
	switch q {
	case alwayson.QualityGood, "":
		return alwayson.QualityGood
	case alwayson.QualityBad:
		return alwayson.QualityBad
	case alwayson.QualityUnknown:
		return alwayson.QualityUnknown
	case alwayson.QualityOutOfRange:
		return alwayson.QualityOutOfRange
	case alwayson.QualityUnverifiedSource:
		return alwayson.QualityUnverifiedSource
	}
	return strings.Clone(q)
}

// Event is one event that a Thing reported.
type Event struct {
	Name     string
	Received time.Time
	Data     *alwayson.InfoTable // nil: no data
}

func (p *Platform) newEvent(req *alwayson.Request) Event {
	return Event{Name: strings.Clone(req.Name), Received: time.Now(), Data: req.Params}
}
