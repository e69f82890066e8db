// Package page is a page for people who only look: who takes the writes and why, what is wrong, the nodes, the
// proxies, the voters, a running move, and the last day. It changes nothing.
//
// It is HTML that this daemon has rendered, a stylesheet and a few lines of script, all of them embedded: no request
// goes to another host, and without the script the page is still whole. It is kept fresh by server-sent events: while
// somebody looks, one goroutine renders once a second for all who do, and what has changed is sent; while nobody does
// there is none.
package page
