// Package web holds the page and the API against a real browser, and against the API's description.
package web
