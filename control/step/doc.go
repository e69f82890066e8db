// Package step marks the steps of a planned move, so that a test can stop every daemon at one of them, kill something
// and let them go on. "Kill at every step" cannot be tested by timing: a step lasts a few milliseconds.
//
// In the binaries that ship, At is an empty function that the compiler inlines to nothing. With the build tag "steps"
// it looks at the folder that HAPROXYD_STEPS names (without the variable it does nothing):
//
//	MEMBER.NAME.reached   made by At, MEMBER being the value of HAPROXYD_STEPS_MEMBER
//	NAME.stop             made by the test: while it is there, At does not return
//
// A stop that nobody takes away ends after 10 s, so that a test that died leaves no daemon behind that hangs.
package step
