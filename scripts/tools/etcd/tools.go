//go:build tools

// Package tools pins the etcd that tests, demo and benchmarks run against.
package tools

import _ "go.etcd.io/etcd/server/v3"
