//go:build tools

// Package tools pins Helm, which the tests of the chart run, and kubeconform, which they hold its manifests against.
package tools

import (
	_ "github.com/yannh/kubeconform/cmd/kubeconform"
	_ "helm.sh/helm/v3/cmd/helm"
)
