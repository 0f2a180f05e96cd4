package edge

import (
	"time"

	"thingbridge/edge/alwayson"
)

// Status is a snapshot of a client for people and health checks.
type Status struct {
	Connected bool          // authenticated
	Since     time.Time     // when the present connection, or else the present outage, began
	Session   uint64        // number of the present or last connection, from 1; 0: none yet
	Attempts  int           // attempts to connect since the last healthy connection
	LastError string        // why the last connection ended or the last attempt failed; stays while connected
	LastCode  alwayson.Code // the platform's code for it, 0 if it was none
	RTT       time.Duration // of the last ping; 0: not known
	Wanted    int           // Things that should be bound
	Bound     int           // of these, bound
	Refused   int           // of these, refused
}
