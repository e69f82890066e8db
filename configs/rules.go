package configs

// The rules of the linter: the codes of its findings, which scripts may rely on. docs/lint.md tells of each why it matters
// and what to do.
const (
	// RuleSyntax: a line that cannot be read as HAProxy reads it.
	RuleSyntax = "syntax"
	// RuleRefused: HAProxy, in one of the versions 2.6 to 3.4, does not start with the file although it can be read.
	RuleRefused = "haproxy-refuses"
	// RuleEmptyWord: an empty word ends a line.
	RuleEmptyWord = "empty-word"

	// RuleNoAdminSocket: no unix stats socket has level admin.
	RuleNoAdminSocket = "no-admin-socket"
	// RuleNoSticky: no backend has a stick rule.
	RuleNoSticky = "no-sticky-backend"
	// RuleHalfSticky: a backend only matches, or only stores.
	RuleHalfSticky = "half-sticky"
	// RuleTwoServices: it cannot be told which sticky backends are the database's.
	RuleTwoServices = "two-services"
	// RuleKeyUnknowable: the keys of a stick rule cannot be known before connections come.
	RuleKeyUnknowable = "key-unknowable"

	// RuleTableSmall: a stick-table evicts what it is there for.
	RuleTableSmall = "table-too-small"
	// RuleTableNoPurge: a full table takes nothing new.
	RuleTableNoPurge = "table-nopurge"
	// RuleTableExpire: an entry ends by itself.
	RuleTableExpire = "table-expire"
	// RuleTableHidden: tools that use config-parser do not see the table.
	RuleTableHidden = "table-hidden"

	// RuleStickyNoPeers: a native table is not shared.
	RuleStickyNoPeers = "sticky-no-peers"
	// RuleLocalPeer: the local HAProxy is not in a peers section.
	RuleLocalPeer = "local-peer-missing"
	// RulePeerShards: each peer gets only some of the entries.
	RulePeerShards = "peer-shards"
	// RulePeersClear: strangers may be taken for peers.
	RulePeersClear = "peers-in-the-clear"
	// RuleTwoProxies: the peers are two, of which one is no majority.
	RuleTwoProxies = "two-proxies"

	// RuleServerIDMissing: a sticky backend's server has no explicit id.
	RuleServerIDMissing = "server-id-missing"
	// RuleServerIDUnequal: an id is not the same node everywhere.
	RuleServerIDUnequal = "server-id-unequal"
	// RuleServerTemplate: the servers are slots of a server-template.
	RuleServerTemplate = "server-template"
	// RuleMarkedUp: sessions are cut when a node comes back.
	RuleMarkedUp = "marked-up-shutdown-backup"
	// RuleMarkedDown: sessions to a node that is down stay open.
	RuleMarkedDown = "marked-down-missing"
	// RuleExternalCheck: HAProxy cannot run its external check.
	RuleExternalCheck = "external-check"

	// RuleNoPrivateTable: the private table or what belongs to it is missing, or it is not private.
	RuleNoPrivateTable = "no-private-table"
	// RuleNoBeacon: entries are stored also while the daemon steers.
	RuleNoBeacon = "no-beacon"
	// RuleHoldUnusable: a hold frontend does not lead where a hold needs it.
	RuleHoldUnusable = "hold-unusable"

	// RuleUseServer: use-server goes before every stick rule.
	RuleUseServer = "use-server"
	// RulePersist: connections stick to a server that is down.
	RulePersist = "persist"
	// RuleAllBackups: connections are spread over all backups.
	RuleAllBackups = "allbackups"
	// RuleNoServer: connections go to the client's own destination instead of a server.
	RuleNoServer = "no-server"
	// RuleStickCondition: a stick rule holds only for some connections.
	RuleStickCondition = "stick-condition"

	// RuleUnknownWord: a word where writers pass that this package does not know.
	RuleUnknownWord = "unknown-word"
	// RuleOtherBackend: a frontend of the writers also leads to a backend with a node that does not stick.
	RuleOtherBackend = "other-backend"
	// RuleServerAddress: a server's line does not say where it is.
	RuleServerAddress = "server-address"
	// RuleMaxQueue: a server hands its clients on when its queue is full.
	RuleMaxQueue = "maxqueue"
	// RuleStickOrder: the native table is asked before the private one.
	RuleStickOrder = "stick-order"
	// RuleTableShared: another backend stores its servers in a table of ours.
	RuleTableShared = "table-shared"
	// RuleFencePassed: connections come in before the fence is asked.
	RuleFencePassed = "fence-passed"
	// RuleBindShared: another frontend listens at an address of the writers.
	RuleBindShared = "bind-shared"
	// RuleBeaconUnchecked: HAProxy never notices that the daemon is gone.
	RuleBeaconUnchecked = "beacon-unchecked"
	// RuleNonStick: connections to a server are not stored.
	RuleNonStick = "non-stick"
	// RuleSeveralActive: a sticky backend balances where its table leads nowhere.
	RuleSeveralActive = "several-active"
	// RuleNoCheck: HAProxy never calls a server down.
	RuleNoCheck = "check-missing"

	// RuleReadinessOnDaemon: a check or an answer to a probe fails with the daemon.
	RuleReadinessOnDaemon = "readiness-on-daemon"
	// RuleReadinessOnDatabase: an answer to a probe fails with the database.
	RuleReadinessOnDatabase = "readiness-on-database"
)
