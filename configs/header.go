package configs

import "strings"

// The first two lines of a rendered file. The first is how it is recognised; the second keeps the order in which the
// nodes were given, which the servers' order loses when another node becomes the active one.
const (
	headerLine  = "# haproxy-peers: rendered configuration, format 1. Edits are lost: the daemon rewrites this file at every move."
	headerMark  = "# haproxy-peers: rendered configuration, format 1."
	headerNodes = "# haproxy-peers: nodes "
)

// readHeader gives the nodes in the order in which they were given; ok tells whether there is a header: whether Render
// wrote the text. The daemon may rewrite such a file, and no other.
func readHeader(text string) (nodes []string, ok bool) {
	lines := strings.SplitN(text, "\n", 3)
	if len(lines) < 3 || !strings.HasPrefix(lines[0], headerMark) || !strings.HasPrefix(lines[1], headerNodes) {
		return nil, false
	}
	nodes = strings.Fields(strings.TrimPrefix(lines[1], headerNodes))
	return nodes, len(nodes) > 0
}
