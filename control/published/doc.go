// Package published holds the two values that the loops exchange, and from which every
// question is answered: a Situation, what this member knows and has decided, which the
// vote loop publishes after each turn, and a Look, what this member's HAProxy does, which
// the proxy loop publishes after each turn. They are never changed once they are
// published, so that an answer made of one of each shows one moment.
package published
