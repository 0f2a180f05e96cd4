package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// watchWork has a progress look each second at what is left.
func watchWork(live *liveWriter, log *bytes.Buffer, left ...int) (givenBack int) {
	now := time.Unix(0, 0)
	var i int
	w := &longWork{doing: "binding things", done: "things bound", look: func() (int, bool) { return max(left[i], 0), left[i] >= 0 }}
	p := &progress{log: slog.New(slog.NewTextHandler(log, nil)), live: live, works: []*longWork{w}, giveBack: func() { givenBack++ }}
	for i = range left {
		p.look(now)
		now = now.Add(time.Second)
	}
	return givenBack
}

func TestMemoryIsGivenBackAfterLargeWork(t *testing.T) {
	for _, c := range []struct{ total, want int }{{progressLarge - 1, 0}, {progressLarge, 1}} {
		var log bytes.Buffer
		if got := watchWork(nil, &log, append(falling(c.total, 1000), 0, 0)...); got != c.want {
			t.Errorf("after %d: given back %d times, want %d", c.total, got, c.want)
		}
	}
}

// falling gives what is left of n each second at a rate.
func falling(n, rate int) (left []int) {
	for ; n > 0; n -= rate {
		left = append(left, n)
	}
	return append(left, 0)
}

// still gives n each second.
func still(n, seconds int) (left []int) {
	for range seconds {
		left = append(left, n)
	}
	return left
}

func TestLongWorkIsToldInTheLogWhereThereIsNoTerminal(t *testing.T) {
	cases := []struct {
		name string
		left []int
		want []string // of each line
	}{
		{"nothing to do", []int{0, 0, 0}, nil},
		{"little to do", []int{150, 100, 0}, nil},
		{"much, and soon done", falling(5000, 1000), []string{`msg="things bound" count=5000 total=5000 rate=1000 after=5s`}},
		{"much, for half a minute", falling(2500, 100), []string{
			`msg="binding things" count=1000 total=2500 rate=100 eta=15s`, `msg="binding things" count=2000 total=2500 rate=100 eta=5s`,
			`msg="things bound" count=2500 total=2500 rate=100 after=25s`}},
		{"more comes meanwhile", []int{1000, 500, 900, 400, 0}, []string{`msg="things bound" count=1400 total=1400`}},
		{"nothing goes on", append(still(300, 100), 290, 285, 0), nil},
		{"a part goes on", append(falling(2000, 500)[:3], still(900, 100)...), []string{
			`msg="binding things" count=1100 total=2000`, `msg="binding things makes no headway" count=1100 total=2000`}},
		{"a part goes on later", append(append([]int{1000}, still(600, 100)...), 300, 100, 0), []string{
			`msg="binding things" count=400 total=1000`, `msg="binding things makes no headway" count=400 total=1000`, `msg="things bound" count=300 total=300`}},
		{"more comes beside what does not go on", append(still(300, 20), 1300, 800, 300), []string{`msg="things bound" count=1000 total=1000`}},
		{"the connection is lost", []int{1000, 800, -1, -1, 1000, 0}, []string{
			`msg="binding things was interrupted" count=200 total=1000`, `msg="things bound" count=1000 total=1000`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			watchWork(nil, &log, c.left...)
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if log.Len() == 0 {
				lines = nil
			}
			if len(lines) != len(c.want) {
				t.Fatalf("got\n%s\nwant %d lines", log.String(), len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %s, want %s", i, lines[i], want)
				}
			}
		})
	}
}

func TestLongWorkIsOneLineOnATerminal(t *testing.T) {
	var screen, log bytes.Buffer
	live := &liveWriter{out: &screen}
	watchWork(live, &log, falling(3000, 1000)...)
	want := clearLine + "binding things: 1000 of 3000 (33%), 1000/s, 2s left" + clearLine + "binding things: 2000 of 3000 (66%), 1000/s, 1s left" + clearLine
	if screen.String() != want {
		t.Errorf("the screen got %q, want %q", screen.String(), want)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines:\n%s", n, log.String())
	}
}

func TestLogLinesPassAboveTheLiveLine(t *testing.T) {
	var screen bytes.Buffer
	live := &liveWriter{out: &screen}
	fmt.Fprint(live, "one\n")
	live.show("half done")
	fmt.Fprint(live, "two\n")
	live.show("")
	fmt.Fprint(live, "three\n")
	if want := "one\n" + clearLine + "half done" + clearLine + "two\nhalf done" + clearLine + "three\n"; screen.String() != want {
		t.Errorf("the screen got %q, want %q", screen.String(), want)
	}
	(*liveWriter)(nil).show("no terminal")
}
