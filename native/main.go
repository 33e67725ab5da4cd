// Command t2 is Transformer² in a terminal: see `t2 help`.
package main

import (
	"os"

	"transformer2/native/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
