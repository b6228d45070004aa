# shellcheck shell=bash
# Read before each scenario, inside the container.
set -uo pipefail
failures=0

# unit NAME: its file from the input; systemd is told by `systemctl daemon-reload`.
unit() { cat >"/etc/systemd/system/$1"; }

# good WHAT, bad WHAT [FOUND]: how a check ended. What was found is indented, however many lines it has: by that `run`
# tells it from what comes next.
good() { echo "ok $1"; }
bad() {
    echo "NOT OK $1"
    [ $# -lt 2 ] || echo "  found: ${2//$'\n'/$'\n'  }"
    failures=$((failures + 1))
}

# claim WHAT FOUND COMMAND...: the command succeeds; FOUND helps where it does not.
claim() { if "${@:3}"; then good "$1"; else bad "$1" "$2"; fi; }

# like WHAT FOUND PATTERN: PATTERN (a glob) is somewhere in FOUND.
like() {
    # shellcheck disable=SC2053 # a glob is wanted
    if [[ $2 == *$3* ]]; then good "$1"; else bad "$1: no \"$3\"" "$2"; fi
}

# same WHAT FOUND WANTED: exactly that, for what is counted: "1" is somewhere in "10", too.
same() { claim "$1: $3" "$2" [ "$2" = "$3" ]; }

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
    # What is judged is what systemd says, so a machine that is busy has time to say it: the first look at a unit is a call of
    # its own, and no look of this program is a second one. A bus that is late all the same is asked again.
    { configure "${checks[@]}"; echo 'defaults: {interval: 60s, timeout: 60s}'; } >/run/look.yml
    local end=$((SECONDS + 120))
    while mapfile -t answers < <(wellkeep probe --json --config /run/look.yml | jq -r "$rows"); do
        [[ ${answers[*]} == *'D-Bus did not answer'* && $SECONDS -lt $end ]] || break
    done
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

# wait_for WHAT SECONDS COMMAND...: until it succeeds, tried every $pause. The seconds are what it takes at most where
# nothing else is to be done. A machine that is busy gets a minute more: how busy it is, no claim is about. What $hint says
# is shown if it never does.
wait_for() {
    local what=$1 began=${EPOCHREALTIME/./} limit=$(($2 + 60)) took
    shift 2
    until "$@"; do
        took=$(((${EPOCHREALTIME/./} - began) / 1000))
        if [ $took -gt $((limit * 1000)) ]; then bad "$what: not within $limit s" "$(${hint-})"; return; fi
        sleep "${pause-0.05}"
    done
    good "$what (after $(((${EPOCHREALTIME/./} - began) / 1000)) ms)"
}

# until_state UNIT WORD...: waits until `ActiveState/SubState` is one of the words; a minute at most.
until_state() {
    local unit=$1 state='' end=$((SECONDS + 60))
    shift
    while [ $SECONDS -lt $end ]; do
        # In one call, or they may be of two moments.
        state=$(systemctl show -P ActiveState -P SubState "$unit" | paste -sd/)
        case " $* " in *" $state "*) return ;; esac
        sleep 0.05
    done
    bad "$unit never became $*" "$state"
}

# pressure CPU: what every monitor that is started from now on reads of the whole machine: so many percent of the last ten
# seconds in which somebody waited for a CPU.
pressure() {
    [ -e /proc/pressure/cpu ] || return 0
    if ! mountpoint -q /proc/pressure; then
        mkdir -p /run/pressure /run/systemd/system/wellkeep-monitor.service.d
        printf 'some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n' | tee /run/pressure/memory >/run/pressure/io
        mount --bind /run/pressure /proc/pressure || bad 'no pressure'
        # The sandbox of the unit has a /proc of its own.
        printf '%s\n' '[Service]' 'BindReadOnlyPaths=/run/pressure:/proc/pressure' \
            >/run/systemd/system/wellkeep-monitor.service.d/pressure.conf
        systemctl daemon-reload
    fi
    printf 'some avg10=%s.00 avg60=0.00 avg300=0.00 total=1\n' "$1" >/run/pressure/cpu
}

# calm: a test machine that is busy with something else is no reason not to restart what hangs.
calm() { pressure 0; }

# For scenarios of several stories about healing. Each has a monitor of its own, so that the brakes and the budgets of one
# are not those of another. Its service, its unit and its files in /run bear the name of the story.

# service NAME [SETTING...]: a unit whose program is the input; /run/NAME.starts has a line for each of its starts. Not in
# /etc, where only what is elsewhere can be masked.
service() {
    { echo "echo >>/run/$1.starts"; cat; } >"/run/$1.sh"
    printf '%s\n' '[Service]' "ExecStart=/bin/sh /run/$1.sh" "${@:2}" >"/usr/lib/systemd/system/$1.service"
    : >"/run/$1.starts"
}

# watch NAME: the story's monitor; its configuration is the input, and what is not in it is fast.
watch() {
    mkdir -p "/run/$1"
    {
        cat
        echo 'monitor: {heartbeat: 1s, heal_budget: 60}'
        echo 'defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s, heal: restart}'
    } >"/run/$1/monitor.yml"
    rewatch "$1"
}
# unwatch NAME: kills it. rewatch NAME: the same monitor again.
unwatch() {
    kill -9 "$(cat "/run/$1/pid")"
    wait "$(cat "/run/$1/pid")" 2>/dev/null
}
rewatch() {
    wellkeep monitor --config "/run/$1/monitor.yml" --status-file "/run/$1/status.json" 2>>"/run/$1/log" &
    echo $! >"/run/$1/pid"
}

# said STORY [KEY]: the decisions, oldest first: "heal restart (1 of 5 ...". Those about the host have no key: "-".
said() { jq -r --arg key "${2-$1}" 'select((.service // "-") == $key) | "\(.decision) \(.words)"' "/run/$1/ledger.jsonl" 2>/dev/null; }
# has_said STORY PATTERN [KEY]: one of the lines matches the regular expression.
has_said() { said "$1" "${3-$1}" | grep -q "$2"; }
# is_in STORY STATE [KEY]
is_in() { [ "$(jq -r --arg key "${3-$1}" '.services[$key].state' "/run/$1/status.json" 2>/dev/null)" = "$2" ]; }
starts() { wc -l <"/run/$1.starts"; }
# has_started STORY N: so often at least. A unit is active before its shell has written its line.
has_started() { [ "$(starts "$1")" -ge "$2" ]; }
# started STORY N: so often and not once more, as of now.
started() {
    wait_for "$1: start $2" 20 has_started "$1" "$2"
    claim "$1: started $2 times" "$(starts "$1"); $(all_of "$1")" [ "$(starts "$1")" = "$2" ]
}
# was_looked_at STORY SINCE [KEY]: a round ended after that moment (of `moment`).
moment() { date -u +%FT%T.%3NZ; }
was_looked_at() { [[ $(jq -r --arg key "${3-$1}" '.services[$key].last_checked' "/run/$1/status.json" 2>/dev/null) > $2 ]]; }
heals() { said "$1" "${2-$1}" | grep -c '^heal '; }
# all_of STORY: everything about it, to understand what went wrong.
all_of() {
    jq -r '"\(.at) \(.service) \(.decision) \(.words)"' "/run/$1/ledger.jsonl"
    jq -r '.services[] | "\(.key) \(.state): \(.reason)"' "/run/$1/status.json"
    tail -n 20 "/run/$1/log"
}

# side_by_side STORY...: functions, ten at once: they mostly wait. With the story ends its monitor.
side_by_side() {
    local story running=0
    calm
    for story in "$@"; do
        [ $running -lt 10 ] || wait -n
        running=$((running + 1))
        # shellcheck disable=SC2034 # for wait_for; so many must not look so often
        (hint="all_of $story" pause=0.5; "$story"; kill -9 "$(cat "/run/$story/pid")") >"/run/$story.said" 2>&1 &
    done
    wait
    for story in "$@"; do
        cat "/run/$story.said"
        failures=$((failures + $(grep -c '^NOT OK' "/run/$story.said" || :)))
    done
}

# monitor NAME [OPTION...]: starts a monitor of its own, with the configuration from the input: wellkeep-NAME.service, the
# shipped unit but for the folders. Stories that run side by side under one monitor would share its budget and its brake.
monitor() {
    local name=$1 unit=/etc/systemd/system/wellkeep-$1.service
    shift
    mkdir -p /etc/wellkeep
    cat >"/etc/wellkeep/$name.yml"
    systemd-sysusers
    sed "s|^ExecStart=.*|& $*|; s|^StateDirectory=.*|&/$name|; s|privileges --write|& --file /etc/polkit-1/rules.d/49-$name.rules|" \
        /usr/lib/systemd/system/wellkeep-monitor.service >"$unit"
    cat >>"$unit" <<U
[Service]
Environment=WELLKEEP_MONITOR_CONFIG=/etc/wellkeep/$name.yml WELLKEEP_STATUS_FILE=/var/lib/wellkeep/$name/status.json
U
    [ -d /run/pressure ] || calm
    [ ! -d /run/pressure ] || echo 'BindReadOnlyPaths=/run/pressure:/proc/pressure' >>"$unit"
    systemctl daemon-reload
    systemctl start "wellkeep-$name" || {
        bad "the monitor $name starts" "$(journalctl -u "wellkeep-$name" -n 20)"
        finish
    }
}

# why NAME KEY: what `wellkeep why` says, of that monitor. state NAME KEY: the state that it believes in.
why() { wellkeep why "$2" --status-file "/var/lib/wellkeep/$1/status.json"; }
state() { jq -r ".services.$2.state" "/var/lib/wellkeep/$1/status.json" 2>/dev/null; }
is_state() { [ "$(state "$1" "$2")" = "$3" ]; }

# ledger NAME KEY [DECISION]: what that monitor wrote down of the service, `decision: words` a line.
ledger() {
    jq -r --arg key "$2" --arg decision "${3-}" 'select(.service == $key and ($decision == "" or .decision == $decision))
        | .decision + ": " + .words' "/var/lib/wellkeep/$1/ledger.jsonl" 2>/dev/null
}
# times N NAME KEY DECISION: whether it was decided so often; has NAME KEY DECISION [PATTERN]: whether it was at all.
times() { [ "$(ledger "$2" "$3" "$4" | wc -l)" -eq "$1" ]; }
# shellcheck disable=SC2053 # a glob is wanted
has() { [[ $(ledger "$1" "$2" "$3") == *"$3: "*${4-}* ]]; }

# Which run of a unit this is, in the run of which systemd counts restarts of its own.
run_of() { systemctl show -P InvocationID "$1"; }
is_run() { [ "$(run_of "$1")" = "$2" ]; }

# recap NAME: what that monitor decided and believes, to understand what went wrong.
recap() {
    jq -r '"  \(.at) \(.service) \(.decision): \(.words)"' "/var/lib/wellkeep/$1/ledger.jsonl"
    jq -r '.services[] | "  \(.key) \(.state): \(.reason) \(.heal.why_not)"' "/var/lib/wellkeep/$1/status.json"
}

# web PORT PATH: asks a server of /usr/local/bin/web.
web() { curl --silent --max-time 60 --output /dev/null "http://127.0.0.1:$1/$2"; }

# install_web: /usr/local/bin/web PORT, a server: answers 200. From /hang on it never answers, from /500 on with that; while the file $BROKEN
# exists with 500, and that is all that a restart does not cure. From /leak on it eats memory until it has no more.
install_web() {
    install -m 755 /dev/stdin /usr/local/bin/web <<'P'
#!/usr/bin/python3
import http.server, os, sys, threading, time
fault = ""
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global fault
        if self.path != "/":
            fault = self.path[1:]
            print("from now on:", fault, flush=True)
        while self.path == "/" and fault == "hang":
            time.sleep(1)
        broken = fault == "500" or os.path.exists(os.environ.get("BROKEN", "/nothing"))
        self.send_response(500 if broken and self.path == "/" else 200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = []
while True:
    time.sleep(0.05)
    try:
        while fault == "leak":
            kept.append(bytearray(8 << 20))
    except MemoryError:
        # An interpreter that is short of memory takes its time to end, and answers nobody meanwhile.
        kept.clear()
        print("MemoryError", flush=True)
        os._exit(1)
P
}

finish() { exit $((failures > 0)); }
