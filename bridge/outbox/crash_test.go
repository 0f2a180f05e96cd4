package outbox

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"thingbridge/bridge"
)

// The crash test runs this test binary again as a child which appends numbered
// records and tells on its output what is kept and what it removes, and is killed.

const (
	crashFileVar = "OUTBOX_CRASH_FILE"
	crashThings  = 7
)

// crashChild appends records to the outbox at path until it is killed. A line
// "k THING N" says that N is kept; "d THING N" comes before everything through N is removed.
func crashChild(path string) int {
	d, err := OpenDisk(path, Options{CacheBytes: 64 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex // one line is one write
	say := func(what, thing string, n int) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, "%s %s %d\n", what, thing, n)
	}
	next := make(map[string]int)
	for i := range crashThings {
		thing := "thing-" + strconv.Itoa(i)
		if recs, err := d.Peek(thing, 0, 1<<30, 1<<30); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		} else if len(recs) > 0 {
			next[thing], _ = strconv.Atoi(strings.TrimSpace(string(recs[len(recs)-1].Data)))
		}
	}
	fmt.Println("up")
	for {
		thing := "thing-" + strconv.Itoa(rand.IntN(crashThings))
		recs := make([]bridge.Record, 1+rand.IntN(20))
		for i := range recs {
			next[thing]++
			recs[i] = bridge.Record{Thing: thing, Data: fmt.Appendf(nil, "%d%*s", next[thing], rand.IntN(400), "")}
		}
		last := next[thing]
		d.Append(recs, func(err error) {
			if err == nil {
				say("k", thing, last)
			}
		})
		if rand.IntN(4) == 0 {
			crashDone(d, thing, say)
		}
	}
}

// crashDone removes some of a Thing's oldest records, never the newest: from it
// the next child goes on counting.
func crashDone(d *Disk, thing string, say func(what, thing string, n int)) {
	recs, err := d.Peek(thing, 0, 1+rand.IntN(60), 1<<20)
	if err != nil || len(recs) < 2 {
		return
	}
	last := recs[len(recs)-2]
	n, _ := strconv.Atoi(strings.TrimSpace(string(last.Data)))
	say("d", thing, n)
	d.Done(thing, last.Seq)
}

func TestNothingThatWasKeptIsLostWhenTheProcessIsKilled(t *testing.T) {
	path := tempFile(t)
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	kept, removed := make(map[string]int), make(map[string]int)
	for round := range rounds {
		runAndKill(t, path, kept, removed)
		total := 0
		d := openDisk(t, path, Options{})
		for i := range crashThings {
			thing := "thing-" + strconv.Itoa(i)
			total += checkNumbers(t, round, thing, texts(t, d, thing), removed[thing], kept[thing])
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d records after the kill", round, total)
	}
}

// checkNumbers wants every number after removed through kept, in order and
// without a gap; before removed some may be there again, after kept some more.
func checkNumbers(t *testing.T, round int, thing string, got []string, removed, kept int) int {
	t.Helper()
	last, next := 0, removed+1
	for _, s := range got {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			t.Fatal(err)
		}
		if n <= last || n > removed && n != next {
			t.Fatalf("round %d: %s has %d after %d; removed through %d", round, thing, n, last, removed)
		}
		last = n
		next = max(next, n+1)
	}
	if next <= kept {
		t.Fatalf("round %d: %s ends at %d; kept through %d, removed through %d", round, thing, last, kept, removed)
	}
	return len(got)
}

func runAndKill(t *testing.T, path string, kept, removed map[string]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashFileVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "up" {
		_ = cmd.Process.Kill()
		t.Fatalf("the child said %q: %v", lines.Text(), cmd.Wait())
	}
	killer := time.AfterFunc(time.Duration(20+rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			break // cut by the kill
		}
		n, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		switch f[0] {
		case "k":
			kept[f[1]] = max(kept[f[1]], n)
		case "d":
			removed[f[1]] = max(removed[f[1]], n)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}
