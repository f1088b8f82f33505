//go:build tools

// Package tools pins Kustomize, which the differ and `gitmoor render` run in a sandbox.
package tools

import _ "sigs.k8s.io/kustomize/kustomize/v5"
