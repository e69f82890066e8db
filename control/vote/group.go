package vote

import (
	"regexp"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const operational = "OPERATIONAL"

// nameable bounds what a server says that its process is called: it goes into the record.
var nameable = regexp.MustCompile("^[0-9a-z-]{1,36}$")

// groupOf is what the probe knows of a node's process, nil while that has not been read.
func groupOf(p *galera.NodeStatus) *model.Group {
	s := &p.Sight
	if !nameable.MatchString(s.UUID) {
		return nil
	}
	g := &model.Group{
		UUID: s.UUID, Weight: p.Options.Weight, ConfID: p.ConfID, Size: p.Size, Total: p.Reading.Weight,
		Evicted: p.Evicted != "", AutoEvict: p.Options.AutoEvict,
		SuspectMS: p.Options.Suspect.Milliseconds(), CheckMS: p.Options.Check.Milliseconds(),
		RetransMS: p.Options.Retrans.Milliseconds(), Retrans: p.Options.RetransText,
		OptionsAt: p.OptionsAt, OptionsListed: p.OptionsListed,
		Lacks: p.Lacks, LacksLast: p.LacksLast, Met: s.Greeted, Speaks: s.Speaks(), Hangs: p.Wait.Hangs(), Late: p.Wait.Late,
	}
	if p.Evicted != "" {
		g.List = strings.Split(p.Evicted, ",")
	}
	if p.EvsState != operational {
		g.State = p.EvsState
	}
	if p.Acquitted != s.UUID {
		g.End = string(s.End())
	}
	return g
}
