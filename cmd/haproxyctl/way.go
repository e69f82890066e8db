package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// way is how the daemon is reached, as the flags say it.
type way struct {
	socket  string // --admin-socket
	context string // --context
	remote  api.Remote

	flags  *pflag.FlagSet
	client *api.Client // once it is known
}

// addWay gives the commands the flags.
func (a *app) addWay(f *pflag.FlagSet) {
	a.way.flags = f
	f.StringVar(&a.way.socket, "admin-socket", a.defaultSocket(),
		"the unix `PATH` on which haproxyd takes orders; the environment variable HAPROXYD_ADMIN_SOCKET sets another default")
	f.StringSliceVar(&a.way.remote.Endpoints, "endpoint", nil, "`https://HOST:PORT,...`: a daemon elsewhere, by its --admin-bind (9104 where no port is given); of several the first that answers")
	f.StringVar(&a.way.remote.Cert, "tls-cert", "", "PEM `FILE` of your certificate for --endpoint")
	f.StringVar(&a.way.remote.Key, "tls-key", "", "PEM `FILE` of that certificate's key")
	f.StringVar(&a.way.remote.CA, "tls-ca", "", "PEM `FILE` of the CA that signs the daemons' certificates (default: the system's)")
	f.StringVar(&a.way.context, "context", "", "the `NAME` of an installation (haproxyctl context list); the environment variable HAPROXYCTL_CONTEXT sets another than the current one")
}

// client asks whoever the flags mean: --endpoint, else --admin-socket, else --context, else the environment's context or
// socket, else the current context, else the daemon on this machine.
func (a *app) client() *api.Client {
	if a.way.client == nil {
		c, err := a.findWay()
		if err != nil {
			c = api.Failing(err)
		}
		a.way.client = c
	}
	return a.way.client.Because(a.reason)
}

// local is the daemon on this machine, whatever context there is.
func (a *app) local() *api.Client { return api.New(a.way.socket).Because(a.reason) }

// proxy is whose proxy an order for one alone is about.
func (a *app) proxy() string {
	if all := a.client().Remote(); len(all) > 0 {
		return "the proxy of " + all[0]
	}
	return "this machine's proxy"
}

func (a *app) findWay() (*api.Client, error) {
	w := &a.way
	given := func(flag string) bool { return w.flags != nil && w.flags.Changed(flag) }
	tls := given("tls-cert") || given("tls-key") || given("tls-ca")
	switch {
	case given("endpoint") && given("admin-socket"):
		return nil, usagef("--endpoint is a daemon elsewhere and --admin-socket one on this machine: give one of them")
	case given("admin-socket") && (tls || given("context")):
		return nil, usagef("--admin-socket is a daemon on this machine: neither --context nor --tls-... goes with it")
	case given("admin-socket"):
		return api.New(w.socket), nil
	}
	name := cmp.Or(w.context, a.getenv("HAPROXYCTL_CONTEXT"))
	if name == "" && !given("endpoint") && a.getenv("HAPROXYD_ADMIN_SOCKET") != "" {
		return a.onSocket(tls, w.socket)
	}
	if name == "" && given("endpoint") && given("tls-cert") && given("tls-key") {
		return api.NewRemote(w.remote) // all is said: the file has no say in it, whatever is wrong with it
	}
	file, err := a.readContexts()
	if err != nil {
		return nil, err
	}
	c := installation{}
	if name = cmp.Or(name, file.Current); name != "" {
		var ok bool
		if c, ok = file.Contexts[name]; !ok {
			return nil, usagef("there is no context %q in %s: it has %s", name, file.path, cmp.Or(strings.Join(file.names(), ", "), "none"))
		}
		c = c.from(filepath.Dir(file.path))
	}
	if given("endpoint") {
		c.Endpoints = w.remote.Endpoints
	}
	if len(c.Endpoints) == 0 {
		return a.onSocket(tls, cmp.Or(c.AdminSocket, w.socket))
	}
	r := api.Remote{Endpoints: c.Endpoints, Cert: cmp.Or(w.remote.Cert, c.Cert), Key: cmp.Or(w.remote.Key, c.Key), CA: cmp.Or(w.remote.CA, c.CA)}
	client, err := api.NewRemote(r)
	if err != nil && name != "" {
		err = fmt.Errorf("context %s: %w", name, err)
	}
	return client, err
}

func (a *app) onSocket(tls bool, socket string) (*api.Client, error) {
	if tls {
		return nil, usagef("--tls-cert, --tls-key and --tls-ca are for --endpoint, which is not given")
	}
	return api.New(socket), nil
}

// contextsPath is the file of the contexts, "" where there is no home for it.
func (a *app) contextsPath() string {
	if path := a.getenv("HAPROXYCTL_CONFIG"); path != "" {
		if whole, err := filepath.Abs(path); err == nil {
			path = whole // what it names is from its folder
		}
		return path
	}
	home := a.getenv("XDG_CONFIG_HOME")
	if home == "" && a.getenv("HOME") != "" {
		home = filepath.Join(a.getenv("HOME"), ".config")
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, "haproxyctl", "config.yaml")
}

// readContexts reads the file; one that is not there has no context.
func (a *app) readContexts() (*contexts, error) {
	c := &contexts{path: a.contextsPath(), Contexts: map[string]installation{}}
	if c.path == "" {
		return c, nil
	}
	data, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	return c, c.decode(data)
}

// names are the contexts, sorted.
func (c *contexts) names() []string {
	var all []string
	for name := range c.Contexts {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
