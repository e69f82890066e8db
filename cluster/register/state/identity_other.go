//go:build !linux

package state

import "os"

// identity cannot tell a copy from the original here: that is left to the
// other voters, who know what this disk has promised.
func identity(*os.File) (uint64, error) { return 0, nil }
