// Package config reads the one configuration file of thingbridge, strictly.
//
// Order: one value stands in, from the strongest to the weakest, a command-line
// flag, a THINGBRIDGE_… environment variable, the file, the default of
// [Default]. All problems are found in one pass and reported in the order of
// the file, each with its line and column.
//
// Loss: nothing is guessed and nothing is skipped. A key that is not known, a
// value of another type or a duration without a unit refuses the whole file.
//
// Blocking: [Load] reads the file, the files that its references name and
// nothing else; it never talks to a network. The package starts no goroutine
// and keeps no state; a [Config] is a plain value that its reader may share
// once it is loaded.
//
// Keys, passwords and certificates keep the reference (${file:PATH} or
// ${env:NAME}) and read it again at each [Secret.Resolve], so that a secret can
// be changed while the bridge runs. A [Secret] prints <secret> whatever prints it.
//
// The profiles are decoded from the YAML itself by package mapping, because the
// names in them are case-sensitive and may hold dots; the rest goes through viper.
package config
