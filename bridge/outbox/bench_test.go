package outbox

import (
	"fmt"
	"strings"
	"testing"

	"thingbridge/bridge"
)

// The figures in the package comment come from these. A record is 200 bytes of
// data of one of 100 Things; the result is per record.

func benchRecords(n, from int) []bridge.Record {
	recs := make([]bridge.Record, n)
	for i := range recs {
		recs[i] = bridge.Record{Thing: fmt.Sprintf("thing-%02d", (from+i)%100), Key: "p", Data: benchData}
	}
	return recs
}

var benchData = []byte(strings.Repeat("x", 200))

// BenchmarkAppendAndWait waits for kept after each Append of so many records:
// the worst case, one fsync each.
func BenchmarkAppendAndWait(b *testing.B) {
	for _, size := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			d := openDisk(b, tempFile(b), Options{})
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += size {
				appendKept(b, d, benchRecords(size, i)...)
			}
			reportRate(b)
		})
	}
}

// BenchmarkThrough appends one record at a time without waiting, as messages
// come from the broker, and removes each when it is kept, with so many records
// of other Things waiting all the time.
func BenchmarkThrough(b *testing.B) {
	for _, backlog := range []int{0, 10_000, 1_000_000} {
		for _, policy := range []Policy{DropOldest, Fold} {
			b.Run(fmt.Sprintf("backlog=%d/%s", backlog, policy), func(b *testing.B) {
				d := openDisk(b, tempFile(b), Options{MaxBytes: 1 << 30, WhenFull: policy})
				for i := 0; i < backlog; i += 1000 {
					recs := benchRecords(1000, i)
					for j := range recs {
						recs[j].Thing += "-waits"
					}
					appendKept(b, d, recs...)
				}
				b.ReportAllocs()
				b.ResetTimer()
				through(b, d)
				reportRate(b)
			})
		}
	}
}

func through(b *testing.B, d *Disk) {
	window := make(chan struct{}, 1000) // what the broker sends without an acknowledgement
	for i := range b.N {
		recs := benchRecords(1, i)
		window <- struct{}{}
		d.Append(recs, func(err error) {
			if err != nil {
				b.Error(err)
			}
			d.Done(recs[0].Thing, recs[0].Seq)
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
}

// BenchmarkDrain reads and removes a backlog that is no longer in RAM, in
// pushes of 100 records.
func BenchmarkDrain(b *testing.B) {
	d := openDisk(b, tempFile(b), Options{MaxBytes: 4 << 30, CacheBytes: 1})
	for i := 0; i < b.N; i += 1000 {
		appendKept(b, d, benchRecords(1000, i)...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for i := range 100 {
			thing := fmt.Sprintf("thing-%02d", i)
			recs, err := d.Peek(thing, 0, 100, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			if len(recs) > 0 {
				d.Done(thing, recs[len(recs)-1].Seq)
			}
			n += len(recs)
		}
	}
	reportRate(b)
}

// BenchmarkOpen opens a file that holds so many records.
func BenchmarkOpen(b *testing.B) {
	const records = 200_000
	path := tempFile(b)
	d := openDisk(b, path, Options{})
	for i := 0; i < records; i += 1000 {
		appendKept(b, d, benchRecords(1000, i)...)
	}
	size := fileSize(path)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d, err := OpenDisk(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(records/(b.Elapsed().Seconds()/float64(b.N)), "records/s")
	b.ReportMetric(float64(size)/records, "file-bytes/record")
}

func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
