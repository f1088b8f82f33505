# Sourced by the scripts: where things are, and how they tell what they do and how long it took.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${GITMOOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gitmoor}
export GITMOOR_CACHE=$CACHE
mkdir -p "$CACHE/bin" "$CACHE/log"

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# now: milliseconds since some start.
now() { echo $(($(date +%s%N) / 1000000)); }
# took START: the time since then, for people.
took() {
    local ms=$(($(now) - $1))
    if [ $ms -ge 120000 ]; then
        printf '%d min %d s' $((ms / 60000)) $((ms / 1000 % 60))
    else
        printf '%d.%d s' $((ms / 1000)) $((ms / 100 % 10))
    fi
}

# step NAME "WHAT (how long)" COMMAND...: run it with its output in the log folder; on failure show the end of that.
step() {
    local name=$1 what=$2 start log=$CACHE/log/$1.log
    shift 2
    start=$(now)
    printf '  %-64s ' "$what …"
    if "$@" >"$log" 2>&1 </dev/null; then
        say "$(took "$start")"
    else
        say "failed after $(took "$start")"
        tail -n 30 "$log" >&2
        fail "$what failed; the whole output is in $log"
    fi
}

# present WHAT: one line for what needed no work.
present() { printf '  %-64s there\n' "$1"; }

# locked NAME: go on alone; a second caller waits.
locked() {
    exec 9>"$CACHE/$1.lock"
    if ! flock -n 9; then
        say "  another $1 is running; waiting for it …"
        flock 9
    fi
}

VENV=$CACHE/venv
export PATH=$CACHE/bin:$PATH
