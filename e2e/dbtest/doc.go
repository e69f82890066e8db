// Package dbtest has the database servers of the tests of control/galera and what is below it: a [Fake] that says
// what it is told to, the worst included ([Answers], [Logins], [Hostile]), an [Authority]
// for their certificates, and real servers of this machine's packages ([StartMariaDB],
// [StartMySQL]).
package dbtest
