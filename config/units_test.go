package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "17B": 17, "2kB": 2000, "2KiB": 2048, "64MiB": 64 << 20, "64 MiB": 64 << 20, "3MB": 3e6, "1GB": 1e9, "2GiB": 2 << 30,
		"8191PiB": -1, "": -1, "MiB": -1, "1.5MiB": -1, "-1": -1, "9223372036854775807GiB": -1, "1mib": -1,
	} {
		got, err := ParseSize(text)
		if want < 0 {
			if err == nil {
				t.Errorf("%q is accepted as %d", text, got)
			}
		} else if got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "7d": 168 * time.Hour, "1.5h": 90 * time.Minute, "0s": 0, " 5ms ": 5 * time.Millisecond,
		"30": -1, "0": -1, "": -1, "s": -1, "1.5d": -1, "99999999999999d": -1, "a week": -1, "1e3": -1,
	} {
		got, err := ParseDuration(text)
		if want < 0 {
			if err == nil {
				t.Errorf("%q is accepted as %v", text, got)
			}
		} else if got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestUnitsAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Min(0).Draw(t, "size"))
		if got, err := ParseSize(size.String()); got != size || err != nil {
			t.Fatalf("%d is written %q and read %d, %v", size, size, got, err)
		}
		d := time.Duration(rapid.Int64().Draw(t, "duration"))
		if got, err := ParseDuration(FormatDuration(d)); got != d || err != nil {
			t.Fatalf("%d is written %q and read %d, %v", d, FormatDuration(d), got, err)
		}
	})
}

func TestNearest(t *testing.T) {
	names := []string{"broker", "client_id", "keep_alive", "password", "username"}
	for name, want := range map[string]string{
		"keepalve": "keep_alive", "clientid": "client_id", "Broker": "broker", "paswsord": "password", "xyz": "", "retain": "", "": "",
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("%q is taken for %q, want %q", name, got, want)
		}
	}
}
