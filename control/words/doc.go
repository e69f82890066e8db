// Package words says in words what the answers of package api hold: the same ones on a
// terminal and on the page.
package words
