# Sourced by scripts/setup: Debian packages, installed only where they lack.

# What the build needs, what the tests run, what a fresh machine may lack.
BUILD_PACKAGES="gcc libc6-dev make cmake ninja-build pkg-config ccache libcjson-dev libnanomsg-dev libyaml-dev
libevent-dev libcurl4-openssl-dev libssl-dev libarchive-dev zlib1g-dev libcmocka-dev"
RUN_PACKAGES="git openssh-client gpgv gnupg openssl ca-certificates tzdata python3 python3-venv"
# A node that runs containers (tests/cluster); busybox-static is what its test image holds.
NODE_PACKAGES="containerd runc containernetworking-plugins iptables conntrack iproute2 util-linux busybox-static"
DEVELOPMENT_PACKAGES="clang clang-format libclang-rt-dev gdb"
LIBGIT2_MINIMUM=1.8

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        say "needs root, and there is no sudo: $*"
        return 1
    fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"; }

# missing PACKAGE...: those that are not installed.
missing() {
    local installed package
    installed=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true) "
    for package in "$@"; do
        case $installed in
        *" installed:$package "*) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

libgit2_version() { dpkg-query -W -f='${Version}' libgit2-dev 2>/dev/null || true; }
libgit2_good() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$LIBGIT2_MINIMUM"; }
# The newest libgit2-dev that the configured sources have.
libgit2_offered() { apt-cache madison libgit2-dev | awk -F'|' '{gsub(/ /, "", $2); print $2}' | sort -V | tail -n 1; }

# The machine's own source of this release, with another suite: host, keyring and options stay what they are here.
backports_source() {
    local codename=$1 file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v suite="$codename" '
            BEGIN { RS = ""; FS = "\n" }
            {
                ours = 0; off = 0; deb = 0; text = ""
                for (i = 1; i <= NF; i++) {
                    line = $i
                    if (line ~ /^#/) continue
                    if (line ~ /^Types:/ && line ~ /[ \t]deb([ \t]|$)/) { deb = 1; line = "Types: deb" }
                    if (line ~ /^Enabled:[ \t]*no/) off = 1
                    if (line ~ /^Components:/) line = "Components: main"
                    if (line ~ /^Suites:/) {
                        count = split(line, word, /[ \t]+/)
                        for (j = 2; j <= count; j++) if (word[j] == suite) ours = 1
                        line = "Suites: " suite "-backports"
                    }
                    text = text line "\n"
                }
                if (ours && deb && !off) { printf "%s", text; exit }
            }' "$file"
    done
}
backports_line() {
    local codename=$1
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | awk -v suite="$codename" '
        $1 == "deb" {
            for (i = 2; i < NF; i++) if ($i == suite) {
                for (j = 1; j < i; j++) printf "%s ", $j
                print suite "-backports main"; exit
            }
        }'
}

add_backports() {
    local codename text
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    text=$(backports_source "$codename")
    if [ -n "$text" ]; then
        printf '# Written by scripts/setup of Gitmoor, for libgit2.\n%s\n' "$text" |
            as_root tee /etc/apt/sources.list.d/gitmoor-backports.sources
    else
        text=$(backports_line "$codename")
        [ -n "$text" ] || { say "no Debian source for $codename in /etc/apt to derive backports from"; return 1; }
        printf '# Written by scripts/setup of Gitmoor, for libgit2.\n%s\n' "$text" |
            as_root tee /etc/apt/sources.list.d/gitmoor-backports.list
    fi
    apt update
}

install_libgit2() {
    local offered
    offered=$(libgit2_offered)
    if ! libgit2_good "$offered"; then
        apt update
        offered=$(libgit2_offered)
    fi
    if ! libgit2_good "$offered"; then
        add_backports
        offered=$(libgit2_offered)
    fi
    libgit2_good "$offered" || { say "no libgit2 of at least $LIBGIT2_MINIMUM; the newest is ${offered:-none}"; return 1; }
    apt install -y --no-install-recommends "libgit2-dev=$offered"
}

update_and_install() {
    apt update && apt install -y --no-install-recommends "$@"
}

# install_packages PACKAGE...
install_packages() {
    local lacking
    lacking=$(missing "$@")
    if [ -n "$lacking" ]; then
        # shellcheck disable=SC2086
        step packages "Installing $(echo $lacking | wc -w) Debian packages (about a minute)" update_and_install $lacking
    else
        present "Debian packages"
    fi
}

ensure_libgit2() {
    if libgit2_good "$(libgit2_version)"; then
        present "libgit2 $(libgit2_version)"
    else
        step libgit2 "Installing libgit2 $LIBGIT2_MINIMUM or newer" install_libgit2
    fi
}
