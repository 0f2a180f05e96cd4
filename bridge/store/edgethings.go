package store

import "strings"

// edgeKey begins the keys of edge things' registrations among the state.
const edgeKey = "edge thing/"

// SaveEdgeThing keeps the registration of an edge thing, as Save does a Thing.
func (s *Store) SaveEdgeThing(name string, data []byte) error {
	return s.change(change{bucketState, edgeKey + name}, data)
}

// DeleteEdgeThing forgets it; to forget what is not there is no error.
func (s *Store) DeleteEdgeThing(name string) error {
	return s.change(change{bucketState, edgeKey + name}, nil)
}

// LoadEdgeThings calls each for every registration that is kept, in the order
// of the names. data is each's own. The store may be used from within each.
func (s *Store) LoadEdgeThings(each func(name string, data []byte) error) error {
	all, err := s.read(bucketState)
	if err != nil {
		return err
	}
	for _, e := range all {
		if name, ok := strings.CutPrefix(e.key, edgeKey); ok {
			if err := each(name, e.data); err != nil {
				return err
			}
		}
	}
	return nil
}
