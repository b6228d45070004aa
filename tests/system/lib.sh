# shellcheck shell=bash
# Read before each scenario, inside the container.
set -uo pipefail
failures=0

# unit NAME: its file from the input; systemd is told by `systemctl daemon-reload`.
unit() { cat >"/etc/systemd/system/$1"; }

# good WHAT, bad WHAT [FOUND]: how a check ended.
good() { echo "ok $1"; }
bad() {
    echo "NOT OK $1"
    [ $# -lt 2 ] || echo "  found: $2"
    failures=$((failures + 1))
}

# claim WHAT FOUND COMMAND...: the command succeeds; FOUND helps where it does not.
claim() { if "${@:3}"; then good "$1"; else bad "$1" "$2"; fi; }

# like WHAT FOUND PATTERN: PATTERN (a glob) is somewhere in FOUND.
like() {
    # shellcheck disable=SC2053 # a glob is wanted
    if [[ $2 == *$3* ]]; then good "$1"; else bad "$1: no \"$3\"" "$2"; fi
}

# configure CHECK...: a configuration with a service for each, `systemd: a.service` or `process_match: word`.
configure() {
    local check number=0
    echo services:
    for check in "$@"; do
        number=$((number + 1))
        printf '  - key: s%d\n    %s\n' "$number" "$check"
    done
}

# A line for each check of what `wellkeep probe --json` printed: outcome (of a failure: its kind), reason, seconds since
# the service's start, detail as JSON, with tabs between.
rows='.[].checks[] | [.failure // .outcome, .reason // "", .running_for_s // "-", (.detail | tojson)] | join("\t")'

# look UNIT...: one round over all of them, for `expect` and `answers`.
look() {
    local checks=("${@/#/systemd: }")
    looked_at=("$@")
    configure "${checks[@]}" >/run/look.yml
    mapfile -t answers < <(wellkeep probe --json --config /run/look.yml | jq -r "$rows")
    [ ${#answers[@]} = $# ] || bad "one answer for each of $# units" "${#answers[@]}"
}

# expect UNIT OUTCOME [PATTERN]: what the last look said of it, the outcome and a part (a glob) of everything else.
expect() {
    local place
    for place in "${!looked_at[@]}"; do
        [ "${looked_at[place]}" != "$1" ] || { check "$1" "${answers[place]}" "$2" "${3-}"; return; }
    done
    bad "$1 was not looked at"
}

# check WHAT ROW OUTCOME PATTERN: the row is OUTCOME, tab, anything with the pattern in it.
check() {
    # shellcheck disable=SC2053 # a glob is wanted
    if [ "${2%%$'\t'*}" = "$3" ] && [[ "${2#*$'\t'}" == *$4* ]]; then
        good "$1: $3"
    else
        bad "$1: not $3 ... $4" "$2"
    fi
}

# wait_for WHAT SECONDS COMMAND...: until it succeeds. The latest of $hint is shown if it never does.
wait_for() {
    local what=$1 began=${EPOCHREALTIME/./} limit=$2 took
    shift 2
    until "$@"; do
        took=$(((${EPOCHREALTIME/./} - began) / 1000))
        if [ $took -gt $((limit * 1000)) ]; then bad "$what: not within $limit s" "$(${hint-})"; return; fi
        sleep 0.05
    done
    good "$what (after $(((${EPOCHREALTIME/./} - began) / 1000)) ms)"
}

# until_state UNIT WORD...: waits until `ActiveState/SubState` is one of the words; 10 s at most.
until_state() {
    local unit=$1 state='' _
    shift
    for _ in $(seq 200); do
        state=$(systemctl show -P ActiveState "$unit")/$(systemctl show -P SubState "$unit")
        case " $* " in *" $state "*) return ;; esac
        sleep 0.05
    done
    bad "$unit never became $*" "$state"
}

finish() { exit $((failures > 0)); }
