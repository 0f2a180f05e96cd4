package mapping

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// fingerprint is equal for profiles that say the same: comments, quotes and
// aliases do not count. Parameters count with
// their values, so that a preset is another one with other parameters.
func fingerprint(fields map[string]field, params map[string]any) [sha256.Size]byte {
	p := printer{known: map[*yaml.Node][sha256.Size]byte{}}
	h := sha256.New()
	for _, key := range sortedKeys(fields) {
		if key != "parameters" && key != "with" {
			sum := p.node(fields[key].n, 0)
			fmt.Fprintf(h, "%q%x", key, sum)
		}
	}
	h.Write(appendAny(nil, params))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// printer hashes YAML. Each node is read once, however many aliases lead to it.
type printer struct {
	known map[*yaml.Node][sha256.Size]byte
}

const maxPrintDepth = 100

func (p printer) node(n *yaml.Node, depth int) [sha256.Size]byte {
	n = resolve(n)
	if n == nil || depth > maxPrintDepth {
		return [sha256.Size]byte{}
	}
	if sum, ok := p.known[n]; ok {
		return sum
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d%q%q", n.Kind, n.ShortTag(), n.Value)
	for _, c := range n.Content {
		sum := p.node(c, depth+1)
		h.Write(sum[:])
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	p.known[n] = sum
	return sum
}

// Equal reports whether two lists of profiles say the same.
func (p *Profiles) Equal(o *Profiles) bool {
	if p == o || p == nil || o == nil {
		return p == o
	}
	if len(p.profiles) != len(o.profiles) {
		return false
	}
	for i, prof := range p.profiles {
		if !prof.same(o.profiles[i]) {
			return false
		}
	}
	return true
}

// same reports whether a profile makes the same of everything as another of the
// same name does.
func (p *profile) same(o *profile) bool {
	return p.name == o.name && p.print == o.print && slices.Equal(p.beside, o.beside)
}

func (p *Profiles) find(name string) *profile {
	for _, prof := range p.profiles {
		if prof.name == name {
			return prof
		}
	}
	return nil
}
