// Package timeline draws what clients saw as a picture: for each scenario a
// lane with the commits of every second, in the colour of the node that took
// them, and the faults as marks.
package timeline

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Lane is one scenario.
type Lane struct {
	// Title and Note stand above the lane, left and right.
	Title, Note string
	// Log has the commits and the marks; From and Log.End are the ends of the lane.
	Log  *lab.Log
	From time.Duration
}

// Picture is a number of lanes, one below the other, all in the same scale.
type Picture struct {
	Title string
	Lanes []Lane
}

const (
	perSecond = 8   // pixels
	row       = 120 // seconds in one line; longer lanes have several
	left      = 46
	right     = 16
	barHeight = 54
	markRows  = 3
	markStep  = 11
	headline  = 20
	axis      = 18
	gap       = 12
	top       = 58
	width     = left + row*perSecond + right
)

// colours are those of nodes in the order of their names; black and grey stay for text and axes. They can be told apart
// by people who do not see red and green apart.
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"}

// Write draws the picture as SVG.
func (p Picture) Write(w io.Writer) error {
	d := &drawing{nodes: p.nodes()}
	y := top
	for _, lane := range p.Lanes {
		y = d.lane(lane, y)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, y, width, y)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, y)
	fmt.Fprintf(&out, `<text x="%d" y="22" font-size="15" font-weight="bold">%s</text>`+"\n", left, escape(p.Title))
	x := left
	for i, node := range d.nodes {
		fmt.Fprintf(&out, `<rect x="%d" y="34" width="10" height="10" fill="%s"/><text x="%d" y="43">%s</text>`+"\n", x, colour(i), x+14, escape(node))
		x += 30 + 7*len(node)
	}
	fmt.Fprintf(&out, `<text x="%d" y="43" fill="#555">commits per second, by the node that took them; an empty second is an outage</text>`+"\n", x)
	out.WriteString(d.out.String())
	out.WriteString("</svg>\n")
	_, err := io.WriteString(w, out.String())
	return err
}

func (p Picture) nodes() []string {
	var nodes []string
	for _, lane := range p.Lanes {
		for _, c := range lane.Log.Commits {
			if c.Acked() && !slices.Contains(nodes, c.Node) {
				nodes = append(nodes, c.Node)
			}
		}
	}
	slices.Sort(nodes)
	return nodes
}

func colour(i int) string { return colours[i%len(colours)] }

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}

type drawing struct {
	nodes []string
	out   strings.Builder
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.out, format+"\n", args...) }

// lane draws one lane from y down and returns where the next one begins.
func (d *drawing) lane(l Lane, y int) int {
	seconds := int((l.Log.End-l.From+time.Second-1)/time.Second) + 1
	counts := make([][]int, seconds) // by second, by node
	most := 1
	for i := range counts {
		counts[i] = make([]int, len(d.nodes))
	}
	for _, c := range l.Log.Commits {
		if s := int((c.Ack - l.From) / time.Second); c.Acked() && s >= 0 && s < seconds {
			counts[s][slices.Index(d.nodes, c.Node)]++
		}
	}
	for _, c := range counts {
		sum := 0
		for _, n := range c {
			sum += n
		}
		most = max(most, sum)
	}
	d.add(`<text x="%d" y="%d" font-weight="bold">%s</text>`, left, y+12, escape(l.Title))
	d.add(`<text x="%d" y="%d" text-anchor="end" fill="#555">%s</text>`, width-right, y+12, escape(l.Note))
	y += headline
	for from := 0; from < seconds; from += row {
		y = d.line(l, counts[from:min(from+row, seconds)], from, most, y)
	}
	return y + gap
}

// line draws up to row seconds of a lane.
func (d *drawing) line(l Lane, counts [][]int, from, most, y int) int {
	base := y + markRows*markStep + barHeight
	end := left + len(counts)*perSecond
	for i, byNode := range counts {
		at := base
		for node, n := range byNode {
			if n == 0 {
				continue
			}
			high := max(1, n*barHeight/most)
			at -= high
			d.add(`<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, left+i*perSecond, at, perSecond-1, high, colour(node))
		}
	}
	d.add(`<path d="M%d %dH%d" stroke="#333" fill="none"/>`, left, base, end)
	d.add(`<text x="%d" y="%d" text-anchor="end" fill="#555">%d/s</text>`, left-4, base-barHeight+8, most)
	d.add(`<text x="%d" y="%d" text-anchor="end" fill="#555">0</text>`, left-4, base)
	for s := 0; s <= len(counts); s += 10 {
		d.add(`<path d="M%d %dv4" stroke="#333"/><text x="%d" y="%d" text-anchor="middle" fill="#555">%d s</text>`,
			left+s*perSecond, base, left+s*perSecond, base+15, from+s)
	}
	var taken [markRows]int // where the last text of each row of marks ends
	for _, m := range l.Log.Marks {
		x := left + int(float64(m.At-l.From)/float64(time.Second)*perSecond) - from*perSecond
		if x < left || x > end || x == end && len(counts) == row {
			continue
		}
		// The text stands right of the stroke, or left of it where it would leave the picture.
		long := 6*len(m.Name) + 6
		anchor, tx, begins, ends := "start", x+3, x, x+long
		if ends > width {
			anchor, tx, begins, ends = "end", x-3, x-long, x
		}
		line := slices.IndexFunc(taken[:], func(e int) bool { return begins >= e })
		d.add(`<path d="M%d %dV%d" stroke="#c00" stroke-dasharray="3 2"/>`, x, y+max(line, 0)*markStep, base)
		if line < 0 {
			continue // too close to others: the stroke alone
		}
		taken[line] = ends
		d.add(`<text x="%d" y="%d" text-anchor="%s" font-size="10" fill="#c00">%s</text>`, tx, y+line*markStep+9, anchor, escape(m.Name))
	}
	return base + axis
}
