# shellcheck shell=bash disable=SC2317,SC2034
# The monitor is killed (kill -9) in the middle of whatever it does: between a decision and the act, during a restart,
# during the verification, and at random. Two of them run side by side, each with services and a folder of its own.

# web NAME PORT [KIND]: a service that answers. What is stubborn heeds no SIGTERM; what is slow does not begin before
# there is /run/slow-goes-on.
cat >/opt/web.py <<'P'
import http.server, os, signal, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
while "slow" in sys.argv and not os.path.exists("/run/slow-goes-on"): time.sleep(0.1)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
P
web() { printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' "ExecStart=python3 /opt/web.py $2 ${3-}" TimeoutStopSec=300 | unit "$1.service"; }
web cut 8001
web stubborn 8002 stubborn
web slow 8003 slow
# simple NAME LINE...
simple() { printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' "${@:2}" | unit "$1.service"; }
for name in hopeless crash1 crash2 held stopped; do simple $name 'ExecStart=sleep infinity'; done
# Fails on being stopped, as programs on the JVM do; and one that takes its time, too.
simple fails-on-stop 'ExecStart=bash -c "trap \"exit 143\" TERM; while :; do sleep 0.1; done"'
simple slow-stop 'ExecStart=bash -c "trap \"\" TERM; while :; do sleep 1; done"' TimeoutStopSec=6
calm
# Evidence is saved between the decision and the act, and the journal is a part of it: there the monitor is made to stand
# still until it is killed.
cat >/usr/local/bin/journalctl <<'J'
#!/bin/sh
[ "$1 $(cat /run/stands-still)" != "--unit=cut.service yes" ] || kill -STOP $PPID
exec /usr/bin/journalctl "$@"
J
chmod +x /usr/local/bin/journalctl
timing='retry_interval: 1s, failure_threshold: 2, success_threshold: 1'
heal='steps: [restart], backoff: 1s, backoff_max: 1s'
mkdir /run/one /run/two
touch /run/one.broken /run/two.broken /run/slow-goes-on
cat >/run/one.yml <<Y
services:
  - {key: cut, systemd: cut, url: "http://127.0.0.1:8001/", start_grace: 2s}
  - {key: stubborn, systemd: stubborn, url: "http://127.0.0.1:8002/"}
  - {key: slow, systemd: slow, url: "http://127.0.0.1:8003/"}
defaults: {$timing, interval: 4s, timeout: 4s, start_grace: 5m, heal: {$heal}}
monitor: {heartbeat: 1s, heal_budget: 60}
Y
cat >/run/two.yml <<Y
services:
  - {key: hopeless, systemd: hopeless, port: 9999, start_grace: 1s}
  - {key: crash1, systemd: crash1}
  - {key: crash2, systemd: crash2}
  - {key: held, systemd: held}
  - {key: stopped, systemd: stopped}
  - {key: fails-on-stop, systemd: fails-on-stop}
  - {key: slow-stop, systemd: slow-stop}
defaults: {$timing, interval: 1s, timeout: 1s, start_grace: 1s, heal: {$heal, verify_within: 5s, budget: 5}}
monitor: {heartbeat: 1s, heal_budget: 60}
Y
systemctl daemon-reload
systemctl start cut stubborn slow hopeless crash{1,2} held stopped fails-on-stop slow-stop

# begin, cut_off: a monitor for $folder begins, and is killed.
begin() { wellkeep monitor --config "$folder.yml" --status-file "$folder/status.json" 2>>"$folder.log" & monitor=$!; }
cut_off() { kill -KILL "$monitor"; wait "$monitor" 2>/dev/null; }
state() { jq -r ".services.\"$1\".state" "$folder/status.json" 2>/dev/null; }
is() { [ "$(state "$1")" = "$2" ]; }
# decided KEY DECISION: how often.
decided() { sed -n "/\"service\":\"$1\",\"decision\":\"$2\"/p" "$folder/ledger.jsonl" 2>/dev/null | wc -l; }
has_decided() { [ "$(decided "$1" "$2")" -ge "${3:-1}" ]; }
# starts UNIT: how often systemd started it.
starts() { /usr/bin/journalctl --sync && /usr/bin/journalctl --quiet --no-pager -u "$1" | grep -c ": Started $1"; }
shown() { systemctl show -P "$2" "$1"; }
unit_is() { [ "$(shown "$1" ActiveState)" = "$2" ]; }
# strike SIGNAL UNIT: its main process, if it has one: 0 would be all of ours.
strike() {
    local pid
    pid=$(shown "$2" MainPID)
    [ "$pid" = 0 ] || kill "-$1" "$pid"
}
hang() { strike STOP "$1"; }

# on_record JQ: of what the next monitor is to know, this holds.
on_record() { jq -e ".memory.services | $1" "$folder/state.json" >/dev/null 2>&1; }

# whole: whatever was written is whole, as of this moment.
whole() {
    jq -es 'all(.at and .decision and .words)' "$folder/ledger.jsonl" >/dev/null 2>"$folder.broken" &&
        jq -e '.schema and .memory' "$folder/state.json" >/dev/null 2>>"$folder.broken" &&
        jq -e .total "$folder/status.json" >/dev/null 2>>"$folder.broken"
}

phases() {
    folder=/run/one
    hint() { tail -n 5 /run/one.log; cat /run/one/ledger.jsonl; }
    hint=hint
    begin
    for key in cut stubborn slow; do wait_for "$key is up" 30 is $key up; done

    # Between the decision and the act.
    echo yes >/run/stands-still
    local before
    before=$(shown cut InvocationID)
    hang cut
    stands_still() { grep -q '^State:.*stopped' "/proc/$monitor/status"; }
    wait_for 'cut is to be restarted' 20 stands_still
    same 'that is on record' "$(decided cut heal)" 1
    cut_off
    same 'the kill came before the act' "$(shown cut InvocationID)" "$before"
    echo no >/run/stands-still
    claim 'all is whole' "$(cat /run/one.broken)" whole
    begin
    wait_for 'the next monitor tells of the interruption' 10 has_decided cut heal_failed
    like 'in plain words' "$(grep heal_failed /run/one/ledger.jsonl)" 'the monitor ended in the middle of the restart: nobody knows what came of it'
    wait_for 'cut is healed' 30 has_decided cut healed
    wait_for 'its incident is closed' 10 has_decided cut closed
    same 'starts and decisions: one restart, and two of the budget' "$(starts cut) $(decided cut heal)" '2 2'

    # While systemd waits for a process that does not end.
    hang stubborn
    wait_for 'stubborn is being restarted' 20 unit_is stubborn deactivating
    cut_off
    begin
    wait_for 'the next monitor tells of the interruption' 10 has_decided stubborn heal_failed
    strike KILL stubborn
    wait_for 'stubborn is up' 30 is stubborn up
    wait_for 'its incident is closed' 10 has_decided stubborn closed
    same 'starts: one restart' "$(starts stubborn)" 2

    # Before it is known whether it helped.
    before=$(shown slow InvocationID)
    rm /run/slow-goes-on
    hang slow
    wait_for 'slow is to be restarted' 20 has_decided slow heal
    restarted() { [ "$(shown slow InvocationID)" != "$before" ] && unit_is slow active; }
    wait_for 'slow was restarted' 20 restarted
    cut_off
    touch /run/slow-goes-on
    begin
    wait_for 'slow is up' 30 is slow up
    wait_for 'its incident is closed' 10 has_decided slow closed
    same 'starts and decisions: one restart' "$(starts slow) $(decided slow heal)" '2 1'
    claim 'all is whole' "$(cat /run/one.broken)" whole
    none_is_open() { jq -e 'all(.services[]; .incident | not)' /run/one/status.json >/dev/null; }
    wait_for 'no incident is open' 10 none_is_open
    same 'incidents without an end' "$(jq -s '[group_by(.incident)[] | select(any(.decision == "opened")) |
        select(any(.decision == "closed") | not)] | length' /run/one/ledger.jsonl)" 0
    kill $monitor
    finish
}

at_random() {
    folder=/run/two
    hint() { tail -n 5 /run/two.log; cat /run/two/ledger.jsonl; }
    hint=hint
    begin
    for key in crash1 crash2 held stopped fails-on-stop slow-stop; do wait_for "$key is up" 30 is $key up; done
    systemctl stop stopped fails-on-stop
    like 'a stop may fail' "$(shown fails-on-stop ActiveState)" failed
    wait_for 'a stop is seen' 10 is stopped stopped
    wait_for 'a stop that fails is seen' 10 is fails-on-stop stopped
    wellkeep hold held --for 10m --reason survive --config /run/two.yml --status-file /run/two/status.json >/dev/null ||
        bad 'a hold'
    wait_for 'the hold holds' 10 is held held
    strike KILL held
    systemctl stop --no-block slow-stop
    wait_for 'a slow stop is under way' 10 unit_is slow-stop deactivating
    # A kill sooner than that leaves only what systemd says afterwards, and that is: failed.
    for key in stopped fails-on-stop slow-stop; do
        wait_for "the stop of $key is on record" 10 on_record ".\"$key\".end.ordered"
    done

    local kills
    for kills in $(seq 30); do
        cut_off
        [ $((kills % 5)) -ne 0 ] || claim "all is whole after $kills kills" "$(cat /run/two.broken)" whole
        begin
        case $((kills % 4)) in 1) strike KILL crash1 ;; 3) strike KILL crash2 ;; esac 2>/dev/null
        sleep 1.$((RANDOM % 10))$((RANDOM % 10))
        case $((kills % 4)) in 0) sleep 1 ;; esac
    done
    # How far a monitor comes before it is killed depends on the machine; the last one comes to the end.
    at_its_limit() { jq -e '.services.hopeless.heal.why_not // "" | contains("its budget of 5")' /run/two/status.json >/dev/null; }
    wait_for 'the budget of the hopeless is used up' 60 at_its_limit
    for key in stopped fails-on-stop slow-stop; do wait_for "$key is stopped" 10 is $key stopped; done
    wait_for 'what is held is held' 10 is held held
    same 'the hold is kept' "$(jq -r .services.held.hold.reason /run/two/status.json)" survive
    same 'starts of what is held' "$(starts held)" 1
    same 'starts of what was stopped' "$(starts stopped) $(starts fails-on-stop) $(starts slow-stop)" '1 1 1'
    same 'the slow stop failed in the end' "$(shown slow-stop ActiveState)" failed
    # A decision that a kill kept from the record costs nothing, and nothing came of it: what counts are the starts.
    for key in hopeless crash1 crash2; do
        claim "$key: no more restarts than its budget of 5" "$(starts $key) starts; $(hint)" [ "$(starts $key)" -le 6 ]
        claim "$key: no start without a decision" "$(starts $key) starts; $(hint)" [ "$(starts $key)" -le $(($(decided $key heal) + 1)) ]
    done
    claim 'the hopeless was restarted' "$(starts hopeless)" [ "$(starts hopeless)" -ge 2 ]
    kill $monitor
    finish
}

phases &
one=$!
at_random &
two=$!
wait $one || failures=$((failures + 1))
wait $two || failures=$((failures + 1))
