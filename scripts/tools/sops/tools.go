//go:build tools

// Package tools pins SOPS, which the differ and the command line tool decrypt with.
package tools

import _ "github.com/getsops/sops/v3/cmd/sops"
