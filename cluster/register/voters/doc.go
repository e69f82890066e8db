// Package voters says what a configuration of voters is, and which change of it is
// the next one to make. It is pure: what a leader knows of the members goes in, a step
// and its reason come out.
package voters
