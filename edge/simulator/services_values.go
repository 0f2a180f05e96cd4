package simulator

import (
	"sort"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

func (c *serviceCall) getValues() *alwayson.Response {
	return result(alwayson.NewTable(c.t.allValues()))
}

// getValuesVTQ serves GetPropertyValuesVTQ: value, time and quality of each property.
func (c *serviceCall) getValuesVTQ() *alwayson.Response {
	table := columns("name", "value:VARIANT", "time:DATETIME", "quality")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, name := range c.t.propOrder {
		pr := c.t.props[name]
		quality, at := alwayson.QualityUnknown, int64(0)
		if pr.known {
			quality, at = pr.value.Quality, pr.value.Time
		}
		addRow(table, name, variant(pr.readLocked()), at, quality)
	}
	return result(alwayson.NewTable(table))
}

// variant wraps a value for a VARIANT column. LONG stays out of it: clients
// that do not know LONG break on one inside a VARIANT.
func variant(v alwayson.Value) alwayson.Value {
	if v.Type() == alwayson.TypeLong {
		v = alwayson.NewNumber(v.Number())
	}
	return alwayson.NewVariant(v)
}

// getValue serves Get<Type>PropertyValue.
func (c *serviceCall) getValue(t alwayson.BaseType) {
	name := c.in.text("propertyName")
	c.p.readProperty(c.t, name, func(resp *alwayson.Response) {
		if !resp.Code.IsSuccess() {
			c.respond(resp)
			return
		}
		v := alwayson.Result(resp.Content, name)
		converted, fits := restjson.Coerce(v, t)
		if !fits && !v.IsNothing() {
			c.respond(fail(alwayson.BadRequest, "property [%s] of thing [%s] is a %s, not a %s", name, c.t.name, v.Type(), t))
			return
		}
		if v.IsNothing() {
			converted = alwayson.Value{}
		}
		if converted.Type() == alwayson.TypeInfoTable {
			c.respond(result(converted))
			return
		}
		c.respond(ok(alwayson.NewTable(alwayson.OneRow(alwayson.Named{Name: "result", Value: converted}))))
	})
}

// setValues serves SetPropertyValues: a table values with a row each of name and value.
func (c *serviceCall) setValues() {
	table := c.in.table("values")
	if table == nil {
		c.respond(fail(alwayson.BadRequest, "SetPropertyValues of thing [%s]: parameter values is missing", c.t.name))
		return
	}
	var writes []write
	c.t.mu.Lock()
	for row := range table.Rows {
		w, problem := c.t.writeOfLocked(table.Cell(row, "name").Unwrap().Text(), table.Cell(row, "value").Unwrap())
		if problem != nil {
			c.t.mu.Unlock()
			c.respond(problem)
			return
		}
		writes = append(writes, w)
	}
	c.t.mu.Unlock()
	c.p.writeAll(c.from, c.t, writes, c.respond)
}

// period is what a history query asks for.
type period struct {
	from, to    int64 // both ends belong to it
	limit       int
	oldestFirst bool
}

func (c *serviceCall) period() period {
	limit := c.in.number("maxItems", 500)
	return period{
		from: c.in.millis("startDate", -1<<62), to: c.in.millis("endDate", 1<<62),
		limit: int(min(max(limit, 0), 1e6)), oldestFirst: c.in.boolean("oldestFirst", false),
	}
}

func (p period) holds(v alwayson.PropertyValue) bool { return v.Time >= p.from && v.Time <= p.to }

// pick gives the values of a history that belong to the period, in its order.
func (p period) pick(values []alwayson.PropertyValue) []alwayson.PropertyValue {
	kept := values[:0]
	for _, v := range values {
		if p.holds(v) {
			kept = append(kept, v)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool {
		if p.oldestFirst {
			return kept[i].Time < kept[j].Time
		}
		return kept[i].Time > kept[j].Time
	})
	return kept[:min(len(kept), p.limit)]
}

// queryHistory serves Query<Type>PropertyHistory.
func (c *serviceCall) queryHistory(t alwayson.BaseType) *alwayson.Response {
	name := c.in.text("propertyName")
	c.t.mu.Lock()
	pr := c.t.props[name]
	if pr == nil {
		c.t.mu.Unlock()
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	values := pr.history.list()
	c.t.mu.Unlock()
	table := columns("timestamp:DATETIME", "value:"+t.String(), "quality")
	for _, v := range c.period().pick(values) {
		value, fits := restjson.Coerce(v.Value, t)
		if !fits {
			return fail(alwayson.BadRequest, "property [%s] of thing [%s] is no %s", name, c.t.name, t)
		}
		addRow(table, v.Time, value, v.Quality)
	}
	return result(alwayson.NewTable(table))
}

// queryAllHistory serves QueryPropertyHistory: a row per time, a column per property.
func (c *serviceCall) queryAllHistory() *alwayson.Response {
	type entry struct {
		column int
		alwayson.PropertyValue
	}
	table := columns("timestamp:DATETIME")
	p := c.period()
	var all []entry
	c.t.mu.Lock()
	for i, name := range c.t.propOrder {
		pr := c.t.props[name]
		table.Fields = append(table.Fields, alwayson.Field{Name: name, Type: pr.def.Type})
		for _, v := range pr.history.list() {
			if p.holds(v) {
				all = append(all, entry{i + 1, v})
			}
		}
	}
	c.t.mu.Unlock()
	sort.SliceStable(all, func(i, j int) bool {
		if p.oldestFirst {
			return all[i].Time < all[j].Time
		}
		return all[i].Time > all[j].Time
	})
	for _, e := range all {
		last := len(table.Rows) - 1
		if last < 0 || table.Rows[last][0].Millis() != e.Time || !table.Rows[last][e.column].IsNothing() {
			if len(table.Rows) >= p.limit {
				break
			}
			row := make([]alwayson.Value, len(table.Fields))
			row[0] = alwayson.NewDateTime(e.Time)
			table.Rows = append(table.Rows, row)
			last++
		}
		table.Rows[last][e.column] = e.Value
	}
	return result(alwayson.NewTable(table))
}

// purgeAllHistory serves PurgeAllPropertyHistory.
func (c *serviceCall) purgeAllHistory() *alwayson.Response {
	p := c.period()
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, pr := range c.t.props {
		pr.history.keep(func(v alwayson.PropertyValue) bool { return !p.holds(v) })
	}
	return done()
}

// purgeHistory serves PurgePropertyHistory, of one property.
func (c *serviceCall) purgeHistory() *alwayson.Response {
	name := c.in.text("propertyName")
	p := c.period()
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	pr := c.t.props[name]
	if pr == nil {
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	pr.history.keep(func(v alwayson.PropertyValue) bool { return !p.holds(v) })
	return done()
}
