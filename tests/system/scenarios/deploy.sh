# shellcheck shell=bash
# Deploys under the shipped monitor: with a hold and without, by hand and by script; nothing is healed in between, and every
# hold ends.

file=/var/lib/wellkeep/status.json
state() { jq -r --arg key "$1" '.services[$key].state' $file; }
is_state() { [ "$(state "$1")" = "$2" ]; }
becomes() { wait_for "$1: $2" "${3-30}" is_state "$1" "$2"; }
ledger() { jq -r --arg key "$1" 'select((.service // "-") == $key) | "\(.decision) \(.words)"' /var/lib/wellkeep/ledger.jsonl; }
says() { ledger "$1" | grep -q "$2"; }
tells() { wait_for "$1: the ledger says $2" 30 says "$1" "$2"; }
heals() { ledger "$1" | grep -c '^heal '; }
# ends STATUS WHAT COMMAND...: a command's exit status; what it says is in $answer.
ends() {
    local wanted=$1 what=$2 status
    shift 2
    answer=$("$@" 2>&1)
    status=$?
    claim "$what: exit status $wanted" "$status: $answer" [ $status = "$wanted" ]
}
# shellcheck disable=SC2034 # for wait_for
hint='jq -r "[.at, .service, .decision, .words] | map(tostring) | join(\" \")" /var/lib/wellkeep/ledger.jsonl'

install -m 755 /dev/stdin /usr/local/bin/server <<'P'
#!/usr/bin/python3
import http.server, sys
release, port = open("/srv/release").read().strip(), int(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if release != "broken" else 500)
        self.end_headers()
        self.wfile.write(release.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
P
mkdir -p /srv /etc/wellkeep
release() { echo "$1" >/srv/release; }
release one
for key in web:8001 other:8002; do
    service "${key%:*}" <<<"exec /usr/local/bin/server ${key#*:}"
done
cat >/etc/wellkeep/monitor.yml <<'Y'
services:
  - {key: web, systemd: web, url: 'http://127.0.0.1:8001/'}
  - {key: other, systemd: other, url: 'http://127.0.0.1:8002/'}
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 1m, heal: restart}
monitor: {heartbeat: 1s}
Y
systemctl daemon-reload
systemd-sysusers
systemctl start web other
systemctl start wellkeep-monitor || bad 'the monitor starts' "$(journalctl -u wellkeep-monitor -n 20)"
becomes web up
becomes other up

# --- with a hold: whatever happens below it is the person's
ends 0 'a hold' wellkeep hold web --for 5m --reason 'release two'
like 'a hold says until when, and how it ends sooner' "$answer" 'web is on hold until * UTC (5m'
like 'a hold says how it ends sooner' "$answer" 'Sooner with: wellkeep release web'
becomes web held
tells web '^hold held by .* until .*: release two'
like 'status tells of it' "$(wellkeep status)" 'release two'
like 'why tells of it' "$(wellkeep why web)" 'On hold since * asked for by *: release two. Nothing is healed until then.'
like 'hold lists it' "$(wellkeep hold)" 'web until'
systemctl stop web
release two
# A deploy that takes longer than any threshold, and goes wrong on its way.
sleep 3
systemctl start web
kill -9 "$(systemctl show -P MainPID web)"
sleep 4
claim 'what dies below a hold is left alone' "$(systemctl is-active web)" [ "$(systemctl is-active web)" = failed ]
systemctl start web
ends 0 'wait --up below a hold' wellkeep wait web --up --timeout 90s
like 'wait says what it saw' "$answer" 'web (held) is up after'
claim 'it serves the new release' none [ "$(curl --silent http://127.0.0.1:8001/)" = two ]
ends 0 'a release' wellkeep release web
like 'a release says so' "$answer" 'web is released.'
tells web '^release released'
becomes web up
same 'heals below the hold' "$(heals web)" 0
ends 0 'a second release' wellkeep release web
like 'a second release says so' "$answer" 'web was not on hold.'

# --- a broken release below a hold: wait tells the script, and it is healed by nobody
wellkeep hold web --for 5m --reason 'release three' >/dev/null
release broken
systemctl restart web
ends 1 'wait --up for a broken release' wellkeep wait web --up --timeout 5s
like 'it says why' "$answer" 'web is not up after 5s: held'
release three
systemctl restart web
ends 0 'wait --up after the roll back' wellkeep wait web --up --timeout 90s
wellkeep release web >/dev/null
becomes web up
same 'heals of a broken release below a hold' "$(heals web)" 0

# --- without a hold: a stop that was ordered is no failure
starts=$(starts web)
systemctl stop web
becomes web stopped
sleep 3
release four
systemctl start web
ends 0 'wait --up without a hold' wellkeep wait web --up --timeout 90s
claim 'only the deploy started it' "$(starts web) after $starts" [ "$(starts web)" = $((starts + 1)) ]
same 'heals without a hold' "$(heals web)" 0

# --- a restart by hand, through us
starts=$(starts web)
ends 0 'wellkeep restart' wellkeep restart web --timeout 90s
like 'restart says what it did' "$answer" 'web.service was restarted'
like 'restart says that it helped' "$answer" 'web is up after'
claim 'one restart' "$(starts web) after $starts" [ "$(starts web)" = $((starts + 1)) ]
systemctl stop web
becomes web stopped
ends 0 'wellkeep restart of what was stopped' wellkeep restart web --timeout 90s
like 'that starts it' "$answer" 'web.service was stopped and is started'
becomes web up
release broken
ends 1 'wellkeep restart that does not help' wellkeep restart web --timeout 4s
like 'it says why not' "$answer" 'web is not up after 4s'
release five
ends 0 'wellkeep restart of what is down' wellkeep restart web --timeout 90s
becomes web up
same 'an order of a person counts against no budget' "$(jq .services.web.heal.heals_within_an_hour $file)" "$(heals web)"

# --- a short hold ends by itself, and what is down then is healed
heals=$(heals other)
ends 0 'a short hold' wellkeep hold other --for 6s
kill -9 "$(systemctl show -P MainPID other)"
tells other '^release its time is over'
tells other '^healed the restart helped'
becomes other up
same 'heals before its end' "$(ledger other | sed '/^release /,$d' | grep -c '^heal ')" "$heals"
same 'heals after its end' "$(heals other)" $((heals + 1))

# --- all at once, through the end of the monitor
ends 0 'a hold of all' wellkeep hold --all --for 10m --reason 'new disk'
like 'it says so' "$answer" 'every service is on hold until'
becomes web held
becomes other held
tells - '^hold held by .*: new disk'
systemctl kill --signal=KILL wellkeep-monitor
kill -9 "$(systemctl show -P MainPID other)"
again() { [ "$(jq -r .monitor.pid $file)" = "$(systemctl show -P MainPID wellkeep-monitor)" ]; }
wait_for 'the monitor is there again' 30 again
becomes other held
sleep 4
claim 'the hold survives the monitor: what died stays as it is' "$(systemctl is-active other)" \
    [ "$(systemctl is-active other)" = failed ]
like 'release KEY says whose hold it is' "$(wellkeep release web)" 'web is held with all services; end that with: wellkeep release --all'
ends 0 'release --all' wellkeep release --all
like 'it says so' "$answer" 'every service is released.'
becomes web up
becomes other up
tells - '^release released'
same 'what was down below it is healed now' "$(heals other)" $((heals + 2))

# --- words for mistakes
ends 2 'a hold of nobody' wellkeep hold webb
like 'it says which there are' "$answer" web
ends 2 'a hold for days' wellkeep hold web --for 2d
like 'it says how long' "$answer" '24 h at the latest'
systemctl stop wellkeep-monitor
ends 2 'a hold that no monitor takes' wellkeep hold web --for 1m
like 'it says so' "$answer" 'no monitor has taken it'
