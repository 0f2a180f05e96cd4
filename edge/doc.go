// Package edge keeps one AlwaysOn connection to the platform alive, binds Things over it and carries requests both ways.
package edge
