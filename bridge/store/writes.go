package store

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
)

// writeKey makes keys that sort as their numbers do.
func writeKey(id uint64) string { return string(binary.BigEndian.AppendUint64(nil, id)) }

// SaveWrite implements bridge.Store, as Save does for a Thing.
func (s *Store) SaveWrite(id uint64, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	return s.change(change{bucketWrites, writeKey(id)}, data)
}

// DeleteWrite implements bridge.Store; to delete what is not there is no error.
func (s *Store) DeleteWrite(id uint64) error {
	return s.change(change{bucketWrites, writeKey(id)}, nil)
}

// LoadWrites implements bridge.Store, in the order of the ids. data is each's own.
func (s *Store) LoadWrites(each func(id uint64, data []byte) error) error {
	all, err := s.read(bucketWrites)
	if err != nil {
		return err
	}
	for _, e := range all {
		if len(e.key) != 8 {
			return registryKind.Damaged(filepath.Join(s.dir, registryFile), fmt.Errorf("promised writes: the key %x is none", e.key))
		}
		if err := each(binary.BigEndian.Uint64([]byte(e.key)), e.data); err != nil {
			return err
		}
	}
	return nil
}
