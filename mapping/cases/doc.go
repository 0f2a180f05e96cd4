// Package cases runs mapping cases: what devices and the platform say to one
// set of profiles, and what must come out. `thingbridge test` and the presets'
// own tests run the same files.
//
// # Order, loss, blocking
//
// The steps of a case run in the order in which they stand, on the caller's
// goroutine, against an Engine of the case's own. Nothing is lost: what comes
// out and no want takes is an error. Nothing blocks: there is no network, and
// the clock stands still but for elapse.
//
// # The file
//
// A case is a txtar file. Text before the first section is for people. Then
//
//	-- profiles --                    the profiles as in the configuration; without it: native
//	-- message TOPIC [retained] --    a message from the broker and its payload
//	-- bytes TOPIC [retained] --      the same with the payload in hexadecimal digits
//	-- sparkplug TOPIC --             a message whose payload is Sparkplug B, written in JSON
//	-- broker lost|back|forgot --     the connection to the broker breaks, or stands again, without its session
//	-- call THING SERVICE --          a service call and its inputs, a JSON object
//	-- write THING PROPERTY --        a property write and the value, in JSON
//	-- read THING PROPERTY --         a property read
//	-- ask OCCASION [THING] --        what is asked: connect, or presence or announce of a Thing
//	-- elapse DURATION --             time goes by; calls and writes whose time is over end
//	-- want --                        what must have come out of all that stands before it
//
// with any number of steps and wants. One newline at the end of a payload is
// not part of it. TOPIC, and the last name of call, write and read, may hold
// spaces; a Thing's name with spaces stands in double quotes. Requests are
// numbered request-1, request-2 and so on.
package cases
