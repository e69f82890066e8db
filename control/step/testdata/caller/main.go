// The caller passes one step, as a daemon does.
package main

import (
	"context"
	"fmt"

	"github.com/haproxy-peers/haproxy-peers/control/step"
)

func main() {
	step.At(context.Background(), "middle")
	fmt.Println("passed")
}
