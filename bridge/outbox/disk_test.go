package outbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"thingbridge/bridge"
	"thingbridge/bridge/store/boltfile"
)

// crashCopy copies the file as a kill would leave it now.
func crashCopy(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := tempFile(t)
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestWhatIsKeptIsInTheFileAtThatMoment(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "key", "1"), rec("b", "", "2"))
	again := openDisk(t, crashCopy(t, path), Options{})
	wantTexts(t, again, "a", "1")
	wantTexts(t, again, "b", "2")
	recs, err := again.Peek("a", 0, 1, 100)
	if err != nil || recs[0].Key != "key" || recs[0].Seq != 1 || time.Since(time.UnixMilli(recs[0].Time)) > time.Minute {
		t.Fatalf("%+v, %v", recs, err)
	}
	appendKept(t, again, rec("a", "", "3"))
	if recs, err := again.Peek("a", 1, 1, 100); err != nil || recs[0].Seq != 3 {
		t.Fatalf("%+v, %v; want sequence number 3", recs, err)
	}
}

func TestRemovalsReachTheFileWithoutAnAppend(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "", "1"), rec("a", "", "2"))
	d.Done("a", 1)
	deadline := time.Now().Add(10 * time.Second)
	for {
		again := openDisk(t, crashCopy(t, path), Options{})
		if len(texts(t, again, "a")) == 1 {
			wantTexts(t, again, "a", "2")
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the removal is not in the file")
		}
	}
}

func TestWhatWasDoneBeforeItWasWrittenIsKeptOnlyWhenNothingOlderCanComeBack(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "", "1"))
	busy, err := d.db.Begin(true) // the committer has to wait
	if err != nil {
		t.Fatal(err)
	}
	first, newer := make(chan error, 1), make(chan error, 1)
	d.Append([]bridge.Record{rec("b", "", "x")}, func(err error) { first <- err })
	for taken := false; !taken; {
		d.mu.Lock()
		taken = len(d.waiting) == 0
		d.mu.Unlock()
		runtime.Gosched()
	}
	var there []byte
	d.Append([]bridge.Record{rec("a", "", "2")}, func(err error) {
		newer <- errors.Join(err, d.db.View(func(tx *bolt.Tx) error {
			k := seqKey(1)
			there = tx.Bucket([]byte(bucketRecords)).Get(k[:])
			return nil
		}))
	})
	d.Done("a", 3)
	if err := busy.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-first, <-newer); err != nil {
		t.Fatal(err)
	}
	if there != nil {
		t.Error("the newer value is acknowledged while the older one would come back after a kill")
	}
}

func TestWhatIsNoLongerInRAMIsReadFromTheFile(t *testing.T) {
	d := openDisk(t, tempFile(t), Options{CacheBytes: 1})
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint(i))
		appendKept(t, d, rec("a", "", want[i]))
	}
	wantTexts(t, d, "a", want...)
	d.mu.Lock()
	cached := len(d.cache)
	d.mu.Unlock()
	if cached > 2 {
		t.Fatalf("%d records are in RAM", cached)
	}
}

func TestManyAppendsShareATransaction(t *testing.T) {
	d := openDisk(t, tempFile(t), Options{})
	const n = 2000
	kept := make(chan error, n)
	var txs int
	for i := range n {
		d.Append([]bridge.Record{rec("a", "", fmt.Sprint(i))}, func(err error) { kept <- err })
	}
	for range n {
		if err := <-kept; err != nil {
			t.Fatal(err)
		}
	}
	if err := d.db.View(func(tx *bolt.Tx) error { txs = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	if txs > n/4 {
		t.Fatalf("%d transactions for %d appends", txs, n)
	}
}

func TestTheFileIsLockedWhileItIsOpen(t *testing.T) {
	path := tempFile(t)
	openDisk(t, path, Options{})
	if _, err := OpenDisk(path, Options{}); !errors.Is(err, boltfile.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v", err)
	}
}

func TestADamagedFileIsRefusedNamedAndLeftAsItIs(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	for i := range 100 {
		appendKept(t, d, rec("a", "", fmt.Sprintf("needle %d %s", i, strings.Repeat("x", 300))))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(b []byte) []byte{
		"a changed byte in a record": func(b []byte) []byte { b[strings.LastIndex(string(b), "needle 7 ")+20]++; return b },
		"both headers overwritten":   func(b []byte) []byte { copy(b, make([]byte, 8192)); return b },
		"cut short":                  func(b []byte) []byte { return b[:16384] },
		"cut within a page":          func(b []byte) []byte { return b[:20001] },
		"nothing":                    func([]byte) []byte { return nil },
		"something else":             func([]byte) []byte { return []byte("this is no database") },
		"a page overwritten":         func(b []byte) []byte { copy(b[16384:], make([]byte, 4096)); return b },
		"pages full of noise": func(b []byte) []byte {
			for i := 12288; i < len(b); i++ {
				b[i] = byte(i * 7)
			}
			return b
		},
	}
	for name, harm := range cases {
		t.Run(name, func(t *testing.T) {
			bad := tempFile(t)
			harmed := harm(append([]byte(nil), whole...))
			if err := os.WriteFile(bad, harmed, 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := OpenDisk(bad, Options{})
			if err == nil {
				n, _, _ := d.Depth("")
				_ = d.Close()
				t.Fatalf("opened with %d records of 100", n)
			}
			var damaged *boltfile.DamagedError
			if !errors.As(err, &damaged) || damaged.Path != bad || !strings.Contains(err.Error(), "mv "+bad) {
				t.Fatalf("%v", err)
			}
			after, err := os.ReadFile(bad)
			if err != nil || string(after) != string(harmed) {
				t.Fatalf("the file was changed: %v", err)
			}
		})
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	path := tempFile(t)
	newer := fileKind
	newer.Format = 9
	db, err := newer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var format *boltfile.FormatError
	if _, err := OpenDisk(path, Options{}); !errors.As(err, &format) || format.Have != 9 {
		t.Fatalf("%v", err)
	}
}

func TestAFileMuchLargerThanWhatItHoldsIsCompactedOnOpening(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	big := strings.Repeat("x", 1<<20)
	for range 40 {
		appendKept(t, d, rec("a", "", big))
	}
	appendKept(t, d, rec("b", "", "stays"))
	d.Drop("a")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := fileSize(path)
	d = openDisk(t, path, Options{})
	if after := fileSize(path); before < compactFrom || after > 1<<20 {
		t.Fatalf("%d bytes before, %d after", before, after)
	}
	wantTexts(t, d, "b", "stays")
	recs := []bridge.Record{rec("a", "", "next")}
	appendKept(t, d, recs...)
	if recs[0].Seq != 42 {
		t.Fatalf("sequence number %d after 41", recs[0].Seq)
	}
}

func TestASmallerBoundAppliesOnOpening(t *testing.T) {
	path := tempFile(t)
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "", "1"), rec("a", "", "2"), rec("a", "", "3"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var dropped dropCount
	d = openDisk(t, path, Options{MaxBytes: 2 * recordSize("a", "", []byte("1")), OnDrop: dropped.add})
	wantTexts(t, d, "a", "2", "3")
	dropped.want(t, map[string]int{"full a": 1})
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small file system can only be mounted by root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fillDisk takes all space that is left and returns a function that frees it.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := 1 << 20; chunk >= 1; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestAFullDiskHoldsBackAndGoesOnByItself(t *testing.T) {
	dir := smallDisk(t, "8m")
	path := filepath.Join(dir, "outbox.db")
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "", "before"))
	free := fillDisk(t, dir)

	type result struct {
		n   int
		err error
	}
	kept := make(chan result, 100)
	want := []string{"before"}
	for i := range 50 {
		want = append(want, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 20_000)))
		d.Append([]bridge.Record{rec("a", "", want[i+1])}, func(err error) { kept <- result{i, err} })
	}
	waitUntil(t, "the trouble shows", func() bool { return d.Err() != nil })
	if err := d.Err(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v", err)
	}
	acked := len(kept)
	again := openDisk(t, crashCopy(t, path), Options{})
	if got := texts(t, again, "a"); len(got) < 1+acked {
		t.Fatalf("%d are acknowledged, %d in the file", acked, len(got)-1)
	}
	wantTexts(t, d, "a", want...) // the platform gets them all the same
	if s := d.Status(); s.Waiting != 50-acked || s.Err == nil || s.Since.IsZero() {
		t.Fatalf("status %+v with %d acknowledged", s, acked)
	}
	free()
	for i := range 50 {
		if r := <-kept; r.err != nil || r.n != i {
			t.Fatalf("kept(%v) of %d; want nil of %d", r.err, r.n, i)
		}
	}
	if err := d.Err(); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, openDisk(t, path, Options{}), "a", want...)
}

func TestOnAFullDiskWhatThePlatformHasIsAcknowledged(t *testing.T) {
	dir := smallDisk(t, "8m")
	d := openDisk(t, filepath.Join(dir, "outbox.db"), Options{})
	free := fillDisk(t, dir)
	kept := make(chan error, 1)
	recs := []bridge.Record{rec("a", "", strings.Repeat("x", 100_000))}
	d.Append(recs, func(err error) { kept <- err })
	waitUntil(t, "the trouble shows", func() bool { return d.Err() != nil })
	d.Done("a", recs[0].Seq)
	if err := <-kept; err != nil {
		t.Fatalf("kept(%v)", err)
	}
	free()
}

func TestOnAFullDiskAppendRefusesBeyondItsBound(t *testing.T) {
	dir := smallDisk(t, "8m")
	d := openDisk(t, filepath.Join(dir, "outbox.db"), Options{})
	free := fillDisk(t, dir)
	d.Append([]bridge.Record{rec("a", "", strings.Repeat("x", waitingMax))}, ignore)
	waitUntil(t, "the trouble shows", func() bool { return d.Err() != nil })
	if err := appendErr(d, rec("a", "", "too much")); !errors.Is(err, ErrBacklogged) {
		t.Fatalf("kept(%v)", err)
	}
	free()
}

func TestCloseOnAFullDiskEndsAndGivesTheRestBack(t *testing.T) {
	dir := smallDisk(t, "8m")
	path := filepath.Join(dir, "outbox.db")
	d := openDisk(t, path, Options{})
	appendKept(t, d, rec("a", "", "before"))
	free := fillDisk(t, dir)
	kept := make(chan error, 1)
	d.Append([]bridge.Record{rec("a", "", strings.Repeat("x", 3<<20))}, func(err error) { kept <- err })
	waitUntil(t, "the trouble shows", func() bool { return d.Err() != nil })
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-kept; !errors.Is(err, ErrClosed) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("kept(%v)", err)
	}
	wantTexts(t, openDisk(t, path, Options{}), "a", "before") // a full disk does not keep it from opening
	free()
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s in vain until %s", what)
		}
	}
}
