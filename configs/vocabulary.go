package configs

import (
	"slices"
	"strings"
)

// vocabulary is a closed list of words.
type vocabulary map[string]bool

func wordsOf(text string) vocabulary {
	v := vocabulary{}
	for _, w := range strings.Fields(text) {
		v[w] = true
	}
	return v
}

// What may stand in the sections through which writers pass, in mode tcp: words that choose no server, and those that are
// read elsewhere in this package (ways.go, sticky.go and servers.go among others). They are the words of 2.2 to 3.4, from
// `haproxy -dKcfg` and the manual's matrix; testdata/words.txt has a line for each that was run. A word that is not here
// may do anything, and is told.
var (
	knownLines = wordsOf(`
		acl backlog balance bind bind-process capture clitcpka-cnt clitcpka-idle clitcpka-intvl compression cookie
		declare default-server default_backend description disabled dispatch dynamic-cookie-key email-alert enabled error-log-format errorfile
		errorfiles errorloc errorloc302 errorloc303 external-check force-persist fullconn grace guid hash-balance-factor
		hash-preserve-affinity hash-type http-after-response http-check http-error http-request http-response http-reuse
		http-send-name-header id ignore-persist load-server-state-from-file log log-format log-format-sd log-steps log-tag
		max-keep-alive-queue max-session-srv-conns maxconn mode monitor monitor-net monitor-uri persist quic-initial rate-limit redirect
		retries retry-on server server-state-file-name server-template source srvtcpka-cnt srvtcpka-idle srvtcpka-intvl ssl-f-use
		stats stick stick-table tcp-check timeout transparent unique-id-format unique-id-header use-fcgi-app use-server use_backend`)

	knownOptions = wordsOf(`
		abortonclose accept-invalid-http-request accept-invalid-http-response accept-unsafe-violations-in-http-request
		accept-unsafe-violations-in-http-response allbackups checkcache clitcpka contstats disable-h2-upgrade dontlog-normal
		dontlognull external-check forceclose forwarded forwardfor h1-case-adjust-bogus-client h1-case-adjust-bogus-server
		http-buffer-request http-drop-request-trailers http-drop-response-trailers http-ignore-probes http-keep-alive
		http-no-delay http-pretend-keepalive http-restrict-req-hdr-names http-server-close http-tunnel http-use-htx
		http-use-proxy-header httpchk httpclose httplog httpslog idle-close-on-response independent-streams ldap-check
		log-health-checks log-separate-errors logasap mysql-check nolinger originalto persist pgsql-check prefer-last-server
		redis-check redispatch smtpchk socket-stats splice-auto splice-request splice-response spop-check srvtcpka
		ssl-hello-chk tcp-check tcp-smart-accept tcp-smart-connect tcpka tcplog transparent`)

	knownFilters = wordsOf(`bwlim-in bwlim-out cache compression fcgi-app opentracing spoe trace`)

	// Actions of tcp-request and tcp-response. With use-service the connection ends in HAProxy and reaches no server.
	knownActions = wordsOf(`
		accept capture close do-log do-resolve expect-netscaler-cip expect-proxy ot-group reject sc-add-gpc sc-inc-gpc
		sc-inc-gpc0 sc-inc-gpc1 sc-set-gpt sc-set-gpt0 send-spoe-group set-bandwidth-limit set-bc-mark set-bc-tos set-dst
		set-dst-port set-fc-mark set-fc-tos set-log-level set-mark set-nice set-priority-class set-priority-offset
		set-retries set-src set-src-port set-tos set-var set-var-fmt silent-drop track-sc0 track-sc1 track-sc2
		unset-var use-service`)

	// Words of a server, and those that have a value behind them.
	knownServerWords = wordsOf(`
		agent-check allow-0rtt backup check check-reuse-pool check-send-proxy check-sni-auto check-ssl check-via-socks4
		disabled enabled force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 no-agent-check no-backup no-check
		no-check-reuse-pool no-check-send-proxy no-check-sni-auto no-check-ssl no-renegotiate no-send-proxy
		no-send-proxy-v2 no-send-proxy-v2-ssl no-send-proxy-v2-ssl-cn no-sni-auto no-ssl no-ssl-reuse no-sslv3 no-tfo
		no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 no-verifyhost non-stick renegotiate send-proxy send-proxy-v2
		send-proxy-v2-ssl send-proxy-v2-ssl-cn sni-auto ssl ssl-reuse stick strict-maxconn tfo tls-tickets`)
	knownServerValues = wordsOf(`
		addr agent-addr agent-inter agent-port agent-send alpn ca-file cc check-alpn check-pool-conn-name check-proto
		check-sni ciphers ciphersuites client-sigalgs cookie crl-file crt curves downinter error-limit fall fastinter guid
		hash-key healthcheck id idle-ping init-addr init-state inter interface ktls log-bufsize log-proto max-reuse maxconn
		maxqueue minconn namespace npn observe on-error on-marked-down on-marked-up pool-conn-name pool-low-conn
		pool-max-conn pool-purge-delay port proto proxy-v2-options quic-cc-algo redir resolve-net resolve-opts
		resolve-prefer resolvers rise shard sigalgs slowstart sni socks4 source ssl-max-ver ssl-min-ver tcp-md5sig tcp-ut
		track usesrc verify verifyhost weight ws`)

	knownTableWords  = wordsOf(`nopurge`)
	knownTableValues = wordsOf(`brates-factor expire len peers size srvkey store type`)
)

// strange gives the first words of a line of a proxy section that are not known here, "" if all are.
func strange(d directive) string {
	words := d.words
	if words[0] == "no" && len(words) > 1 {
		words = words[1:]
	}
	switch first := words[0]; {
	case first == "option":
		return unlisted(words, 1, knownOptions)
	case first == "filter":
		return unlisted(words, 1, knownFilters)
	case first == "tcp-request" && (d.word(1) == "connection" || d.word(1) == "session" || d.word(1) == "content"),
		first == "tcp-response" && d.word(1) == "content":
		return unlisted(words, 2, knownActions)
	case first == "tcp-request" || first == "tcp-response":
		if d.word(1) == "inspect-delay" {
			return ""
		}
		return first + " " + d.word(1)
	case first == "server":
		return unlistedOf(first, words[min(3, len(words)):], knownServerWords, knownServerValues)
	case first == "server-template":
		return unlistedOf(first, words[min(4, len(words)):], knownServerWords, knownServerValues)
	case first == "default-server":
		return unlistedOf(first, words[1:], knownServerWords, knownServerValues)
	case first == "stick-table":
		return unlistedOf(first, words[1:], knownTableWords, knownTableValues)
	default:
		return unlisted(words, 0, knownLines)
	}
}

// unlisted gives the words up to that at i if that one is not listed; an argument in parentheses does not count.
func unlisted(words []string, i int, list vocabulary) string {
	if i >= len(words) {
		return "" // HAProxy refuses such a line
	}
	name, _, _ := strings.Cut(words[i], "(")
	if list[name] {
		return ""
	}
	return strings.Join(append(slices.Clone(words[:i]), name), " ")
}

func unlistedOf(line string, words []string, alone, valued vocabulary) string {
	for i := 0; i < len(words); i++ {
		name, _, _ := strings.Cut(words[i], "(")
		switch {
		case alone[name]:
		case valued[name], name == "set-proxy-v2-tlv-fmt":
			i++
		default:
			return line + " " + name
		}
	}
	return ""
}
