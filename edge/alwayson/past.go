package alwayson

import "time"

// maxPast bounds the memory of ended messages; the oldest are forgotten first.
const maxPast = 256

// pastSet remembers a multipart message that ended, until its late chunks can be no more.
type pastSet struct {
	key   setKey
	until time.Time
	done  bool // complete; else refused or dropped
	count int  // number of chunks of a refused one; 0 not known
	left  int  // how many of them may still come
}

// pastSets is a ring of ended messages.
type pastSets struct {
	ring []pastSet
	next int
}

func (p *pastSets) add(s pastSet) {
	if old := p.find(s.key); old != nil {
		*old = s
		return
	}
	if len(p.ring) < maxPast {
		p.ring = append(p.ring, s)
		return
	}
	p.ring[p.next] = s
	p.next = (p.next + 1) % maxPast
}

func (p *pastSets) find(key setKey) *pastSet {
	for i := range p.ring {
		if p.ring[i].key == key {
			return &p.ring[i]
		}
	}
	return nil
}

// ended reports whether a message of that key ended shortly before.
func (p *pastSets) ended(now time.Time, key setKey) bool {
	s := p.find(key)
	return s != nil && now.Before(s.until)
}

// swallow reports whether a chunk belongs to a message that was refused or
// dropped shortly before, and so has its answer already. Once as many chunks
// have come as the message had, the id is free for another.
func (p *pastSets) swallow(now time.Time, key setKey, count int) bool {
	s := p.find(key)
	if s == nil || s.done || s.left == 0 || !now.Before(s.until) || s.count != count && s.count != 0 {
		return false
	}
	s.left--
	return true
}
