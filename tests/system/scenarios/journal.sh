# shellcheck shell=bash
# The log in the journal: fields, no line twice, `wellkeep logs`; a journal that is started anew, and one that hangs.

document=/var/lib/wellkeep/status.json
# entries [MATCH...]: the monitor's own entries as JSON, oldest first.
entries() { journalctl --sync; journalctl --quiet --all -o json -u wellkeep-monitor SYSLOG_IDENTIFIER=wellkeep "$@"; }
is_now() { [ "$(jq -r --arg key "$1" '.services[$key].state' $document)" = "$2" ]; }
# shellcheck disable=SC2034 # for wait_for
hint='journalctl -u wellkeep-monitor -n 10'

# A program that writes what programs write.
cat >/opt/web.py <<'P'
import http.server, sys
print("ready")
print("<3>the disk is full")
print("\x1b[31mred\x1b[0m \x1b]0;title\x07")
print('Traceback\n  File "app.py"', flush=True)
sys.stdout.buffer.write(b"no text: \xff\n")
sys.stdout.buffer.flush()
http.server.HTTPServer(("127.0.0.1", 8000), http.server.BaseHTTPRequestHandler).serve_forever()
P
unit web.service <<'U'
[Service]
SyslogIdentifier=webapp
ExecStart=python3 -u /opt/web.py
[Install]
Alias=nickname.service
U
# One that nobody heals.
unit other.service <<'U'
[Service]
ExecStart=python3 -m http.server --bind 127.0.0.1 8001
U
mkdir -p /etc/wellkeep
cat >/etc/wellkeep/monitor.yml <<'Y'
monitor: {heartbeat: 1s}
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 1, success_threshold: 1, start_grace: 1s}
services:
  - {key: web, systemd: web.service, port: 8000, heal: restart}
  - {key: nick, systemd: nickname.service}
  - {key: bare, port: 8001}
Y
calm
systemctl daemon-reload
systemctl --quiet enable web
systemctl start web other
systemctl start wellkeep-monitor wellkeep-viewer
wait_for 'web is up' 30 is_now web up

# A crash and its heal, step by step, each with its fields.
systemctl kill --signal=KILL web
wait_for 'web is healed' 60 sh -c "jq -e 'select(.service == \"web\" and .decision == \"closed\")' /var/lib/wellkeep/ledger.jsonl >/dev/null 2>&1"
wait_for 'web is up again' 30 is_now web up
events=$(entries WELLKEEP_SERVICE=web | jq -r .WELLKEEP_EVENT | uniq | tr '\n' ' ')
like 'a crash and its heal, in their order' "$events" 'transition opened *heal evidence *healed closed*'
incident=$(jq -r 'select(.service == "web" and .decision == "opened") | .incident' /var/lib/wellkeep/ledger.jsonl)
fields=$(entries WELLKEEP_INCIDENT="$incident" | jq -r '"\(.WELLKEEP_EVENT) \(.PRIORITY) \(.MESSAGE)"')
like 'the change that opens an incident belongs to it' "$fields" 'transition 3 web: down, after '
like 'a heal is a warning, with service, state and reason' "$fields" 'heal 4 web: down, to be healed by restart (1 of 5 *systemd: failed: killed by signal 9'
like 'where the evidence is' "$fields" "evidence 6 web: what was found before is in /var/lib/wellkeep/incidents/$incident/evidence-1.txt"
like 'the end of the incident' "$fields" "closed 6 web: incident $incident closed: well again by heal 1"
claim 'each field has one value' "$(entries)" \
    test "$(entries | jq -r 'select(any(.WELLKEEP_SERVICE, .WELLKEEP_EVENT, .MESSAGE, .PRIORITY; type == "array" and all(type == "string")))' | wc -l)" = 0
# What the step before it prints comes by stdout.
silent=$(entries _TRANSPORT=journal | jq -r 'select(.WELLKEEP_EVENT == null) | .MESSAGE')
claim 'each line says what it is about' "$silent" test -z "$silent"
twice=$(entries | jq -r '"\(._PID) \(.MESSAGE)"' | grep -v ' web: \| nick: \| bare: ' | sort | uniq -d)
claim 'no line stands there twice' "$twice" test -z "$twice"
like 'the line is where it was said' "$(entries WELLKEEP_EVENT=transition | jq -r .CODE_FILE | sort -u)" src/monitor/tell.rs

# Why it cannot begin is systemd's to show, with its priority.
cp /etc/wellkeep/monitor.yml /run/right.yml
echo 'services: [{key: web, prt: 1}]' >/etc/wellkeep/monitor.yml
systemctl restart wellkeep-monitor && bad 'it does not begin with a wrong file'
journalctl --sync
like 'the unit shows why' "$(systemctl status wellkeep-monitor)" 'prt: unknown key'
like 'as an error' "$(journalctl -u wellkeep-monitor -p err -n 20 -o cat)" 'prt'
cp /run/right.yml /etc/wellkeep/monitor.yml
systemctl restart wellkeep-monitor
wait_for 'web is up' 30 is_now web up

# wellkeep logs
journalctl --sync
logs=$(wellkeep logs web)
like 'all of it in the order of time' "$logs" 'webapp\[*ready*systemd *Main process exited, code=killed*wellkeep *web: down, after*web: down, to be healed*systemd *Started*webapp\[*ready*wellkeep *web: incident*closed'
like 'lines below their first, and nothing that steers' "$logs" $'red \\\\x1b]0;title\\\\x07\n'
like 'bytes that are no text' "$logs" $'no text: \ufffd\n'
like 'the day, and the zone' "$logs" "-- $(date -u +%F) UTC --"
claim 'no colour in a pipe' "$logs" test -z "$(tr -dc '\033' <<<"$logs")"
claim 'no line of others' "$logs" test "$(grep -c 'nick: \|bare: ' <<<"$logs")" = 0
like 'a unit by its other name' "$(wellkeep logs nick)" 'webapp\[*ready'
errors=$(wellkeep logs web --errors)
like 'errors: its own' "$errors" 'the disk is full'
like 'errors: what systemd warns of' "$errors" "Failed with result 'signal'"
like 'errors: ours' "$errors" 'web: down, after'
claim 'errors: no others' "$errors" test "$(grep -c 'ready\|Traceback\|closed' <<<"$errors")" = 0
like 'the latest two' "$(wellkeep logs web -n 2 | grep -vc '^--')" 2
like 'nothing since tomorrow' "$(wellkeep logs web --since tomorrow)" 'No line is in the journal'
like 'since ten minutes ago' "$(wellkeep logs web --since 10m)" 'webapp\[*ready'
wellkeep logs web --since 'the flood' >/run/said 2>&1 && bad 'nonsense is no time'
like 'nonsense is no time' "$(cat /run/said)" 'Failed to parse timestamp: the flood'
like 'the journal as it is' "$(wellkeep logs web --json | jq -r 'select(.WELLKEEP_EVENT == "healed") | .WELLKEEP_SERVICE')" web
own=$(wellkeep logs)
like 'our own lines' "$own" 'wellkeep viewer *serving on http://127.0.0.1:9355/'
like 'our own lines, the monitor'\''s' "$own" 'wellkeep  *watching 3 services'
claim 'our own lines alone' "$own" test "$(grep -c webapp <<<"$own")" = 0
like 'what has no unit' "$(wellkeep logs bare 2>&1)" 'bare has no systemd unit*bare: *'
wellkeep logs wbe >/run/said 2>&1
like 'an unknown key' "$? $(cat /run/said)" '2 error: *did you mean "web"'
like 'who may not see it is told so' "$(setpriv --reuid=nobody --clear-groups wellkeep logs web 2>&1)" 'you see only your own lines: use sudo'
systemctl stop wellkeep-monitor
mv $document /run/aside.json
like 'without a document the configuration knows the unit' "$(wellkeep logs web)" 'webapp\[*ready'
mv /run/aside.json $document
systemctl start wellkeep-monitor
# Anybody can write such a field, and then it is not ours.
printf 'MESSAGE=web: forged\nWELLKEEP_SERVICE=web\nSYSLOG_IDENTIFIER=wellkeep\n' | logger --journald
journalctl --sync
claim 'nobody can speak for us' '' test "$(wellkeep logs web | grep -c forged)" = 0
wellkeep logs web --follow >/run/followed 2>&1 &
follower=$!
wait_for 'web is up' 30 is_now web up
logged() { grep -q 'web: stopped' /run/followed; }
systemctl stop web
wait_for 'it follows' 30 logged
kill $follower
systemctl start web
wait_for 'web is up' 30 is_now web up
claim 'a reader that goes away is no trouble' '' bash -o pipefail -c 'wellkeep logs web --follow | head -n 1 >/dev/null'

# Started anew, the journal goes on to get what is said, the very lines of that moment, too.
told_reloads() { [ "$(entries WELLKEEP_EVENT=config --since "@$start" | grep -c 'configuration reloaded')" = "$1" ]; }
reload() { systemctl kill --signal=HUP --kill-whom=main wellkeep-monitor; }
start=$(date +%s)
for round in 1 2 3; do
    systemctl restart systemd-journald
    reload
    wait_for "a line comes through a restart of the journal ($round)" 20 told_reloads "$round"
done
systemctl restart systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service
reload
wait_for 'and through one of its sockets' 20 told_reloads 4

# A journal that hangs stops nothing. Its socket takes about 166 lines, 4,096 wait with us, and a folder of wrong holds is
# a line for each.
mkdir /var/lib/wellkeep/wrong
for number in $(seq 6000); do : >"/var/lib/wellkeep/wrong/$number.json"; done
flap() {
    systemctl stop other
    wait_for "$1: down" 60 is_now bare down
    systemctl start other
    wait_for "$1: up" 60 is_now bare up
}
journald=$(systemctl show -P MainPID systemd-journald)
pid=$(systemctl show -P MainPID wellkeep-monitor)
start=$(date +%s)
kill -STOP "$journald"
flap 'the journal hangs'
find /var/lib/wellkeep/wrong -type f -exec mv -t /var/lib/wellkeep/holds {} +
sleep 10
sequence=$(jq .sequence $document)
later() { [ "$(jq .sequence $document)" -gt $((sequence + 2)) ]; }
flap 'the log is full'
wait_for 'it goes on to write' 20 later
kill -CONT "$journald"
lost() { entries WELLKEEP_EVENT=log --since "@$start" | jq -r .MESSAGE; }
lost_is_told() { [ -n "$(lost)" ]; }
wait_for 'lines that were lost are told' 60 lost_is_told
like 'with their number' "$(lost)" '[0-9][0-9][0-9] lines of the log were lost'
like 'in one line' "$(lost | wc -l)" 1
kept=$(entries WELLKEEP_EVENT=hold --since "@$start" | wc -l)
claim "those that had room are all there ($kept)" "$(lost)" test "$kept" -ge 4000
flapped=$(entries WELLKEEP_SERVICE=bare WELLKEEP_EVENT=transition --since "@$start" | jq -r .MESSAGE | head -n 2)
like 'in their order' "$flapped" 'bare: down, after *bare: up, after '
like 'it is the same monitor' "$(systemctl show -P MainPID wellkeep-monitor)" "$pid"
