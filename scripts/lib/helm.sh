# Sourced by scripts/setup after golang.sh: Helm; and kubeconform with the schemas of the last four Kubernetes minors.

HELM_VERSION=v3.22.0
KUBECONFORM_VERSION=v0.7.0
REGISTRY_VERSION=v3.0.0-1 # of Distribution, and of what stands before it
# Whose API the chart's manifests are held against. A module of Kubernetes holds its API's description.
SCHEMA_VERSIONS="v1.32.0 v1.33.0 v1.34.0 v1.35.4"

helm_flags() {
    local minor=${KUBERNETES_VERSION#v1.} path
    minor=${minor%%.*}
    printf -- '-X helm.sh/helm/v3/internal/version.version=%s ' "$HELM_VERSION"
    # The Kubernetes that "helm template" and "helm lint" assume.
    for path in pkg/chartutil pkg/lint/rules; do
        printf -- '-X helm.sh/helm/v3/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/%s.k8sVersionMinor=%s ' "$path" "$path" "$minor"
    done
}

# What the differ and `gitmoor render` run to build charts. With another version, change the one in the render key too
# (differ/render/helm.c).
ensure_helm_program() {
    if have helm $HELM_VERSION; then
        present "Helm $HELM_VERSION"
    else
        ensure_go
        step helm "Building Helm $HELM_VERSION (about 2 min)" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/helm" "$(helm_flags)" helm.sh/helm/v3/cmd/helm
        built $HELM_VERSION helm
    fi
}

# The registry that the tests push charts to.
ensure_registry() {
    if have oci-registry $REGISTRY_VERSION; then
        present "OCI registry $REGISTRY_VERSION"
    else
        ensure_go
        step oci-registry "Building an OCI registry $REGISTRY_VERSION (about 1 min)" build_registry
        built $REGISTRY_VERSION oci-registry
    fi
}
build_registry() {
    go_build "$CACHE/registry" "$ROOT/scripts/tools/registry" "" gitmoor.io/tools/registry || return 1
    mv -f "$CACHE/registry"/* "$CACHE/bin/oci-registry"
    rmdir "$CACHE/registry"
}

ensure_helm() {
    ensure_helm_program
    ensure_registry
    if have kubeconform $KUBECONFORM_VERSION; then
        present "kubeconform $KUBECONFORM_VERSION"
    else
        ensure_go
        step kubeconform "Building kubeconform $KUBECONFORM_VERSION" \
            go_build "$CACHE/bin" "$ROOT/scripts/tools/helm" "" github.com/yannh/kubeconform/cmd/kubeconform
        built $KUBECONFORM_VERSION kubeconform
    fi
    ensure_schemas
}

ensure_schemas() {
    local version
    for version in $SCHEMA_VERSIONS; do
        if [ ! -d "$CACHE/schemas/$version" ]; then
            ensure_go
            step "schemas-$version" "Reading the API of Kubernetes $version from its module" read_schemas "$version"
        fi
    done
}

# In a module cache of its own, since nothing else needs the sources.
read_schemas() {
    local version=$1 modules=$CACHE/schemas/modules status=0
    mkdir -p "$modules"
    (cd "$modules" && GOMODCACHE=$modules GOFLAGS=-modcacherw GOTOOLCHAIN=local "$GO" mod download "k8s.io/kubernetes@$version") &&
        python3 "$ROOT/scripts/lib/kubernetes_schemas.py" \
            "$modules/k8s.io/kubernetes@$version/api/openapi-spec/swagger.json" "$CACHE/schemas/$version" || status=1
    rm -rf "$modules"
    return $status
}
