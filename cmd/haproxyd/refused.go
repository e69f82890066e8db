package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/spf13/pflag"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

// checkFiles refuses to go on without a gossip key, and with a key or a password that somebody else may write. The
// warnings are about files that others may read.
func (s *settings) checkFiles() (warnings []string, err error) {
	if !slices.Contains([]gossip.Encrypt{gossip.EncryptAccept, gossip.EncryptSend, gossip.EncryptRequire}, s.Cluster.Encrypt) {
		return nil, usageError(fmt.Errorf("gossip-encrypt %q: give accept, send or require", s.Cluster.Encrypt))
	}
	switch {
	case s.Cluster.KeyFile != "":
		warning, err := safefile.Check(s.Cluster.KeyFile)
		if err != nil {
			return nil, refusedError{fmt.Errorf("gossip-key-file: %w", err)}
		}
		warnings = append(warnings, warning)
	case s.inTheOpen() && !s.Cluster.Insecure:
		return nil, refusedError{fmt.Errorf("there is no gossip key, and whoever reaches %s could take part in decisions: make one with `haproxyctl gossip-key --out FILE`, "+
			"copy FILE to every member and start each with --gossip-key-file FILE; or give --gossip-insecure (HAPROXYD_GOSSIP_INSECURE=true) to do without", s.Cluster.GossipBind)}
	case s.Cluster.Encrypt != gossip.EncryptRequire:
		return nil, usageError(fmt.Errorf("gossip-encrypt %s: there is no key to do so with; give --gossip-key-file FILE", s.Cluster.Encrypt))
	}
	for flag, file := range map[string]string{
		"probe-password-file": s.ProbePasswordFile, "probe-ssl-key": s.ProbeSSL.Key, "probe-ssl-ca": s.ProbeSSL.CA,
	} {
		if file == "" {
			continue
		}
		warning, err := safefile.Check(file)
		if _, unsafe := errors.AsType[*safefile.UnsafeError](err); unsafe {
			return nil, refusedError{fmt.Errorf("%s: %w", flag, err)}
		}
		// One that is not there, or cannot be read, is the prober's to report: it may come. Everybody may read a CA.
		if flag != "probe-ssl-ca" {
			warnings = append(warnings, warning)
		}
	}
	return slices.DeleteFunc(warnings, func(w string) bool { return w == "" }), nil
}

// inTheOpen: others than this machine may reach the gossip.
func (s *settings) inTheOpen() bool {
	host, _, err := net.SplitHostPort(s.Cluster.GossipBind)
	if err != nil {
		return false // cluster.Config.Validate says what is wrong with it
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && !ip.Unmap().IsLoopback() // and that it is no IP address
}

// gossipWarnings are what `status` says as long as it is so.
func (s *settings) gossipWarnings() []string {
	switch {
	case s.Cluster.KeyFile == "" && s.inTheOpen():
		return []string{"the gossip has no key (--gossip-insecure): whoever reaches its port can take part in decisions; `haproxyctl gossip-key` makes one"}
	case s.Cluster.KeyFile != "" && s.Cluster.Encrypt != gossip.EncryptRequire:
		return []string{"the gossip takes messages without a key, too (--gossip-encrypt " + string(s.Cluster.Encrypt) + "): go on to require when all members have the key"}
	}
	return nil
}

// refusedIfUnsafe marks what ends a daemon because of a file that others may write, or of a key file without a key.
func refusedIfUnsafe(err error) error {
	_, unsafe := errors.AsType[*safefile.UnsafeError](err)
	_, noKey := errors.AsType[*gossip.KeyError](err)
	_, open := errors.AsType[*gossip.SecurityError](err)
	if unsafe || noKey || open {
		return refusedError{err}
	}
	return err
}

// supervised tells whether this process is the child of supervise, which says so on the command line.
func supervised(f *pflag.FlagSet) bool {
	fl := f.Lookup("supervise")
	return fl != nil && fl.Changed && fl.Value.String() == ""
}
