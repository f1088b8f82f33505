"""The environment that tests, scripts/dev, scripts/demo and scripts/bench share.

cluster    a control plane (etcd, kube-apiserver, kube-controller-manager) on loopback
moor       the four processes of Gitmoor against such a cluster
repository a Git repository with a working copy
certs      certificates, made with the openssl command
api        a small client of the Kubernetes API for assertions
process    child processes with logs
"""
