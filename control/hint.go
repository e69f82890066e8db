package control

import "github.com/haproxy-peers/haproxy-peers/control/api"

// writeHint leaves what `haproxyctl check` needs to probe by itself.
func (d *Daemon) writeHint(uuid string) {
	if d.cfg.ProbeUser == "" {
		return
	}
	h := api.CheckHint{User: d.cfg.ProbeUser, PasswordFile: d.cfg.ProbePasswordFile, StateUUID: uuid}
	ssl := d.cfg.ProbeSSL
	h.SSLMode, h.SSLCA, h.SSLCert, h.SSLKey = ssl.Mode.String(), ssl.CA, ssl.Cert, ssl.Key
	if err := api.WriteCheckHint(d.cfg.AdminSocket, h); err != nil {
		d.cfg.Logger.Warn("haproxyctl check will not know the probe's account while this daemon is down", "error", err)
	}
}
