package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/words"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// next says what is to be done now, and in which order, so that the writers stay where they are.
func (o adoptOptions) next(r adoptResult, what *configs.Adoption, paths []string) []string {
	const apart = "one HAProxy after the other, 10 s apart, those first that serve the fewest clients"
	files := strings.Join(paths, " ")
	switch {
	case o.revert && !r.Written:
		return []string{
			fmt.Sprintf("Move the writers to %s, where a HAProxy goes whose tables are empty for a moment: haproxyctl active set %s", r.Main, r.Main),
			fmt.Sprintf("%s: stop its haproxyd, `haproxyctl config adopt --revert --write %s`, and do what that says.", upperFirst(apart), files),
		}
	case o.revert:
		return append(beforeReload(what), fmt.Sprintf("Reload this HAProxy. Then the next: %s.", apart))
	case !r.Written:
		return []string{fmt.Sprintf("Have the writers on %s: there a HAProxy goes whose tables are empty for a moment (--active NODE for another one).", r.Main),
			"The same command with --write, and what that says: " + apart + "."}
	}
	var daemon strings.Builder
	for _, p := range paths {
		daemon.WriteString(" --haproxy-cfg " + p)
	}
	if len(o.in.Backends) > 0 {
		daemon.WriteString(" --backends " + strings.Join(o.in.Backends, ","))
	}
	return append(beforeReload(what),
		fmt.Sprintf("Reload this HAProxy (systemctl reload haproxy). Then adopt and reload the next: %s.", apart),
		fmt.Sprintf("Until all are reloaded, move nothing: the ids are those of today, so that old and new ones mean the same nodes, and who knows no table goes to %s.", r.Main),
		"Sessions of the process before a reload live on in it, where haproxyd cannot see or close them: have them end (or `hard-stop-after` in global) before the first move.",
		fmt.Sprintf("When all are reloaded start haproxyd on each; it takes over what it finds: haproxyd%s --gossip-key-file ... (`haproxyctl gossip-key` makes the key), and `haproxyctl status`.", daemon.String()),
	)
}

// beforeReload is what keeps the last connections of the process that ends where all others are.
func beforeReload(what *configs.Adoption) []string {
	if len(what.Aside) == 0 {
		return nil
	}
	how := "by a stats socket of level admin (it has none: a connection in some ten thousand may go elsewhere)"
	if what.AdminSocket != "" {
		how = fmt.Sprintf("`for s in %s; do echo \"set server $s state maint\" | socat - %s; done`", strings.Join(what.Aside, " "), what.AdminSocket)
	}
	return []string{fmt.Sprintf("Right before the reload, and only if the writers are on %s, take the other servers out of the process that ends, which sends its last connections to its own first server: %s. The new process has them back.", what.Main, how)}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// staysOn refuses where the connections of the HAProxy that runs go to another node than they would while it is reloaded.
func (o adoptOptions) staysOn(ctx context.Context, what *configs.Adoption, paths []string) error {
	now, err := configs.LoadAs(configs.Reading{LocalPeer: o.in.LocalPeer}, paths...)
	if err != nil {
		return err
	}
	stats := running(ctx, now.Sockets)
	for _, backend := range what.Backends {
		onMain := false
		var busy []string
		for _, s := range stats {
			if s.Backend == backend && s.CurrentSessions > 0 {
				onMain = onMain || s.Server == what.Main
				busy = append(busy, fmt.Sprintf("%s (%s)", s.Server, words.Count(s.CurrentSessions, "session")))
			}
		}
		if len(busy) == 0 || onMain {
			continue
		}
		fix := "name it with --active, so that they stay there"
		if o.revert {
			fix = "first `haproxyctl active set " + what.Main + "`"
		}
		return fmt.Errorf("connections of %s go to %s, and in the new text %s comes first, where they would go while HAProxy is reloaded: %s (or --force)", backend, strings.Join(busy, ", "), what.Main, fix)
	}
	return nil
}

// running asks the HAProxy that runs for its servers; nil where none does, or none that says anything to whoever asks: then
// there are no connections to move.
func running(ctx context.Context, sockets []configs.Socket) []runtimeapi.ServerStat {
	for _, s := range sockets {
		if !s.Unix {
			continue
		}
		client, err := runtimeapi.New(runtimeapi.Config{Socket: s.Path})
		if err != nil {
			continue
		}
		if look, err := client.Snapshot(ctx, runtimeapi.SnapshotQuery{Stats: true}); err == nil {
			return look.Stats
		}
	}
	return nil
}
