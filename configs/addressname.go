package configs

import (
	"net/netip"
	"strings"
)

// AddressName is the name of a HAProxy that is known by its address alone, such as a
// DaemonSet's pod: 10-0-0-5, as a DNS label could hold it.
func AddressName(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.Unmap().WithZone("").String())
}
