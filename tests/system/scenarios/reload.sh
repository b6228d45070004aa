# shellcheck shell=bash disable=SC2317
# `systemctl reload`: what stays, what changes, what comes and goes, and what a wrong file does.

config=/etc/wellkeep/monitor.yml
document=/var/lib/wellkeep/status.json
value() { jq -r "$1" $document 2>/dev/null; }
holds() { value "$1" | grep -qx true; }
of() { value ".services[\"$1\"] | $2"; }
log() { journalctl --sync; journalctl --no-pager -o cat -u wellkeep-monitor SYSLOG_IDENTIFIER=wellkeep; }
# shellcheck disable=SC2034 # for wait_for
hint=all
all() { log | tail -n 20; value .; }
# How often a reload was read, right or wrong.
reloads() { log | grep -c -e 'configuration reloaded' -e 'the configuration is wrong'; }
# reload WHAT: returns when it is done.
reload() { systemctl reload wellkeep-monitor || bad "a reload: $1"; }

calm
# A page that counts its visits.
cat >/opt/pages.py <<'P'
import collections, http.server, json
visits = collections.Counter()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/visits":
            body = json.dumps(visits).encode()
        else:
            visits[self.path] += 1
            body = b"ok"
        self.send_response(500 if "broken" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Handler).serve_forever()
P
python3 /opt/pages.py &
pages=$!
visits() { curl --silent http://127.0.0.1:8001/visits | jq -r ".[\"$1\"] // 0"; }
unit hopeless.service <<'U'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=sleep infinity
U
systemctl daemon-reload
systemctl start hopeless
mkdir -p /etc/wellkeep/monitor.d

# configuration [SETTING]: what is watched; `changing` has the setting.
configuration() {
    cat <<Y
include: monitor.d/*.yml
services:
  - {key: steady, url: "http://127.0.0.1:8001/steady", interval: 20s}
  - {key: failing, url: "http://127.0.0.1:8001/broken/failing", failure_threshold: 100, interval: 20s, retry_interval: 20s}
  - {key: hopeless, systemd: hopeless, url: "http://127.0.0.1:8001/broken/hopeless", interval: 1s, retry_interval: 1s, start_grace: 1s,
     failure_threshold: 1, heal: {steps: [restart], backoff: 1s, backoff_max: 1s, verify_within: 5s, budget: 2}}
  - {key: held, url: "http://127.0.0.1:8001/held", interval: 20s}
  - {key: changing, url: "http://127.0.0.1:8001/${1-before}", interval: 20s}
Y
}
configuration >$config
echo 'services: [{key: leaving, url: "http://127.0.0.1:8001/leaving"}]' >/etc/wellkeep/monitor.d/leaving.yml
systemd-sysusers
systemctl start wellkeep-monitor || { bad 'the monitor starts' "$(all)"; finish; }
wellkeep hold held --for 1h --reason 'a reload' >/dev/null || bad 'a hold'
for key in steady changing leaving; do
    is_up() { [ "$(of "$key" .state)" = up ]; }
    wait_for "$key is up" 90 is_up
done
is_spent() { holds '.services.hopeless | .heal.heals_within_an_hour == 2 and .incident != null'; }
wait_for 'the budget of hopeless is spent, and its incident open' 90 is_spent
is_failing() { holds '.services.failing.consecutive_failures >= 2'; }
wait_for 'failing has failed twice' 90 is_failing
wait_for 'held is held' 30 holds '.services.held.state == "held"'

# What must stay, of services that stay the same. `next_check` moves with the rounds: it is looked at on its own below.
kept='{steady, failing, held, hopeless} | map_values({state, since, history, hold, incident: .incident.id,
    heals: .heal.heals_within_an_hour, budget: .heal.budget})'
remembered() { value ".services | $kept"; }
# calm_moment: neither steady nor failing is due within the next 5 s, so that a round of theirs would be one too many.
calm_moment() {
    holds '[.services.steady, .services.failing] | all(.next_check != null
        and (.next_check | sub("\\.[0-9]+"; "") | fromdate) > now + 6)'
}
wait_for 'a calm moment' 90 calm_moment
before=$(remembered)
due=$(value '.services | {steady, failing} | map_values(.next_check)')
count=$(of failing .consecutive_failures)
asked="$(visits /steady) $(visits /broken/failing)"
pid=$(systemctl show -P MainPID wellkeep-monitor)
loaded=$(value .monitor.config.loaded_at)
configuration after >$config
rm /etc/wellkeep/monitor.d/leaving.yml
echo 'services: [{key: coming, url: "http://127.0.0.1:8001/coming"}]' >/etc/wellkeep/monitor.d/coming.yml
reload 'a right file'
# Done is done: the log has it by then.
like 'systemctl reload returns when it is done' "<$(reloads)>" '<1>'
wait_for 'the document has it' 10 holds ".monitor.config.loaded_at > \"$loaded\""
claim 'what is remembered of what stays the same is the same' "$(diff <(echo "$before") <(remembered))" \
    test "$(remembered)" = "$before"
like 'the failures that were counted are' "$(of failing .consecutive_failures)" "$count"
same_due() {
    jq -en --argjson before "$due" --argjson after "$(value '.services | {steady, failing} | map_values(.next_check)')" '
        def at: sub("\\.[0-9]+"; "") | fromdate; [$before, $after | map_values(at)] | .[0] as $b | .[1] as $a
        | [$b | keys[] | $b[.] - $a[.] | fabs] | all(. <= 1)' >/dev/null
}
claim 'they are due when they were' "$due and $(value '.services | {steady, failing} | map_values(.next_check)')" same_due
like 'and were not looked at once more' "$(visits /steady) $(visits /broken/failing)" "$asked"
like 'by the same monitor' "$(systemctl show -P MainPID wellkeep-monitor)" "$pid"
like 'the removed one is gone' "$(of leaving .)" null
wait_for 'the added one is looked at' 30 holds '.services.coming.state == "up"'
asks_anew() { [ "$(visits /after)" -ge 1 ]; }
wait_for 'the changed one asks its new page' 30 asks_anew
asked=$(visits /before)
wait_for 'and is up by that' 60 holds '.services.changing.state == "up" and .services.changing.http.ok'
like 'and its old page never again' "$(visits /before)" "$asked"
like 'its history goes on' "$(of changing '.history | length >= 1')" true

# A wrong file, at a reload.
configuration after | sed 's/key: coming/kee: coming/; s/interval: 20s/intervall: 20s/' >$config
reload 'a wrong file'
wait_for 'the document says that the file is wrong' 10 holds '.monitor.config.error // "" | contains("intervall")'
like 'so does the log' "$(log)" 'the last good one stays in force'
like 'so does wellkeep status' "$(wellkeep status)" 'the last good one is in force'
claim 'the last good one is in force' "$(remembered)" test "$(remembered)" = "$before"
like 'by the same monitor' "$(systemctl show -P MainPID -P ActiveState wellkeep-monitor | sort)" "$(sort <<<"$pid"$'\nactive')"

# Places are taken at the start.
{ configuration after; echo 'monitor: {state_dir: /var/lib/wellkeep/elsewhere}'; } >$config
reload 'another state directory'
wait_for 'the document says what needs a restart' 10 holds '.monitor.config.needs_restart // "" | contains("/var/lib/wellkeep/elsewhere")'
like 'so does the log' "$(log)" 'is in force after a restart: systemctl restart wellkeep-monitor'
configuration after >$config
reload 'the old one'
wait_for 'all is in force' 10 holds '.monitor.config | .error == null and .needs_restart == null'

kill $pages
