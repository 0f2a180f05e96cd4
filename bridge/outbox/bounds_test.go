package outbox

import (
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
)

// bounded is an outbox of either mode whose bounds change.
type bounded interface {
	bridge.Outbox
	SetBounds(Bounds)
	Close() error
}

func TestNewBoundsCountAtOnce(t *testing.T) {
	for name, open := range map[string]func(*testing.T, Options) bounded{
		"disk": func(t *testing.T, o Options) bounded {
			d, err := OpenDisk(t.TempDir()+"/outbox.db", o)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		"memory": func(t *testing.T, o Options) bounded {
			m, err := NewMemory(o)
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lost := map[string]int{}
				box := open(t, Options{MaxAge: time.Hour, OnDrop: func(reason, _ string, n int) { lost[reason] += n }})
				defer box.Close()
				released := 0
				for range 10 {
					box.Append([]bridge.Record{{Thing: "pump", Time: time.Now().UnixMilli(), Data: make([]byte, 1000)}}, func(error) { released++ })
				}
				synctest.Wait()
				box.SetBounds(Bounds{MaxBytes: 4 * recordSize("pump", "", make([]byte, 1000)), MaxAge: time.Hour, HoldMax: 1})
				synctest.Wait()
				if n, _, _ := box.Depth("pump"); n != 4 || lost[ReasonFull] != 6 {
					t.Errorf("%d records kept, %v lost; want 4 and 6 full", n, lost)
				}
				if released < 9 {
					t.Errorf("%d appends acknowledged, want at least 9", released)
				}
				box.SetBounds(Bounds{MaxAge: time.Minute})
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if n, _, _ := box.Depth("pump"); n != 0 || lost[ReasonExpired] != 4 {
					t.Errorf("%d records kept, %v lost; want none and 4 expired", n, lost)
				}
			})
		})
	}
}
