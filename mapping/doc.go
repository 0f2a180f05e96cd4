// Package mapping turns what devices say into what the platform understands.
package mapping
