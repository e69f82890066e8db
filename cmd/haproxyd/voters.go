package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
)

// votersEvery is the pause between two lookups of --initial-voters dns:HOST.
const votersEvery = time.Second

// votersName is the host of --initial-voters dns:HOST.
func (s *settings) votersName() (string, bool) {
	if len(s.InitialVoters) != 1 {
		return "", false
	}
	return strings.CutPrefix(s.InitialVoters[0], "dns:")
}

// checkVoters refuses a set of first voters that could begin twice: whoever is
// alone in DNS at first would begin alone.
func (s *settings) checkVoters() error {
	host, ok := s.votersName()
	switch {
	case ok && host == "":
		return errors.New("--initial-voters dns: names no host")
	case ok && s.Cluster.BootstrapExpect < 2:
		return errors.New("--initial-voters dns:" + host + " needs --bootstrap-expect N with more than half of all members: pods see different parts of each other in DNS at first")
	case !ok && slices.ContainsFunc(s.InitialVoters, func(v string) bool { return strings.HasPrefix(v, "dns:") }):
		return errors.New("--initial-voters: dns:HOST names them all, so it stands alone")
	}
	return nil
}

// followVoters tells the register who has an address at host, as `haproxyctl config
// render --proxies dns:HOST` names them, until there is a record: what every pod
// sees there becomes the same within seconds, and then one of them may begin.
func (p *parts) followVoters(host string, c *cluster.Cluster) {
	t := time.NewTicker(votersEvery)
	defer t.Stop()
	var last []string
	for !c.Agreement().Known {
		names, err := p.votersAt(host)
		switch {
		case err != nil:
			p.log.Debug("the first voters cannot be looked up", "host", host, "error", err)
		case !slices.Equal(names, last):
			p.log.Info("first voters, as long as nobody has begun", "host", host, "names", strings.Join(names, " "))
			c.SetInitialVoters(names)
			last = names
		}
		select {
		case <-p.done:
			return
		case <-t.C:
		}
	}
}

func (p *parts) votersAt(host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range found {
		names = append(names, configs.AddressName(a))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
