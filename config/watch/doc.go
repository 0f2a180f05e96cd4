// Package watch tells when the content of one file has changed, however it is
// changed: written in place, renamed over, or swapped behind symbolic links as
// Kubernetes does it with a ConfigMap.
//
// Order: contents are told one after the other, the newest last. Loss: a content
// that stood for less than [Options].Quiet may not be told; the last one always
// is, at the latest after [Options].Poll. Blocking: [Run] blocks until its
// context ends; the function that it calls holds it up and nothing else.
//
// What is told is decided by the content alone. Events of the system's file
// watcher only say when to look: the folders of the file and of every symbolic
// link on the way to it are watched, and looked up afresh after each event. Where
// the system has no watcher, or lets us have none, and for files on a network or
// behind a bind mount, a look every [Options].Poll does.
//
// A file that is being written is not told: two looks, [Options].Quiet apart,
// must find the same. So must two that find it missing.
package watch
