# shellcheck shell=bash
# The main job as a user has it: a real application as a unit, the configuration that users have today word for
# word, the monitor and the viewer as the units that are shipped, and everything asked through the viewer's API.

api() { curl --silent --max-time 2 http://127.0.0.1:9355/api/status | jq -r "$1"; }
service() { api ".services.chatstack_web | $1"; }
health() { curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:9355/health; }
health_is() { [ "$(health)" = "$1" ]; }
holds() { service "$1" | grep -qx true; }
holds_for_all() { api "$1" | grep -qx true; }
# log [MATCH...]: what the monitor itself has told.
log() { journalctl --sync; journalctl --no-pager -o cat -u wellkeep-monitor SYSLOG_IDENTIFIER=wellkeep "$@"; }
# shellcheck disable=SC2034 # for wait_for
hint='service .'
configuration() { cat >/etc/wellkeep/monitor.yml; }

mkdir -p /srv/chatstack /etc/wellkeep
cat >/srv/chatstack/main.py <<'P'
from flask import Flask

app = Flask(__name__)


@app.get("/health")
def health():
    return {"status": "ok"}
P
unit chatstack-web.service <<'U'
[Unit]
Description=ChatStack Web
[Service]
Type=notify
User=www-data
WorkingDirectory=/srv/chatstack
ExecStart=/usr/bin/gunicorn --workers 2 --timeout 120 --bind 127.0.0.1:5000 main:app
Restart=on-failure
RestartSec=10s
TimeoutStopSec=5s
U
configuration </opt/design.yml

systemd-sysusers
systemctl daemon-reload
systemctl start chatstack-web
began=$SECONDS
systemctl start wellkeep-monitor wellkeep-viewer || bad 'the units start'
# Ready means that there is a document.
claim 'a document when the monitor is ready' none jq -e '.schema | not | not' /var/lib/wellkeep/status.json

# From now on somebody reads the file all the time.
python3 - <<'P' >/run/reader.log 2>&1 &
import json, os, signal, time
reads = faults = 0
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
while going:
    reads += 1
    try:
        with open("/var/lib/wellkeep/status.json") as file:
            document = json.load(file)
        assert document["ok_count"] + document["fail_count"] == document["total"] > 0
    except Exception as fault:
        faults += 1
        print("fault", repr(fault), flush=True)
    time.sleep(0.002)
print(f"read {reads} times, {faults} faults", flush=True)
P
reader=$!

wait_for 'up' 10 holds '.state == "up"'
document=$(api .)
faults=$(python3 /opt/superset.py <<<"$document" 2>&1)
claim 'the document is a superset of what scripts rely on' "$faults" test -z "$faults"
claim 'every check sees the application' "$(service .)" holds \
    '.ok and .systemd.state == "active" and .process.count >= 2 and .http.status_code == 200 and .http.ok and .port.ok'
claim 'the counts' "$document" holds_for_all \
    '.ok_count == 1 and .fail_count == 0 and .total == 1 and .mode == "production_monitoring"'
like 'the health of the host' "$(health)" 200
like 'the document is for everybody' "$(stat -c '%a %U' /var/lib/wellkeep/status.json)" '644 wellkeep'
like 'the monitor has no capability' "$(grep CapEff "/proc/$(systemctl show -P MainPID wellkeep-monitor)/status")" 0000000000000000
like 'the address of the viewer' "$(setpriv --reuid nobody --clear-groups cat /run/wellkeep/viewer.addr)" 127.0.0.1:9355

# It hangs: the port still accepts connections, and systemd finds nothing wrong.
systemctl kill --signal=STOP chatstack-web
wait_for 'a hang is down' 25 holds '.state == "down"'
like 'the reason of a hang' "$(service .reason)" 'http: '
claim 'only http fails' "$(service .)" holds \
    '(.ok or .http.ok | not) and .port.ok and .systemd.state == "active" and .consecutive_failures >= 3'
like 'the health of the host while something is down' "$(health)" 503
systemctl kill --signal=CONT chatstack-web
wait_for 'it goes on' 15 holds '.state == "up" and .ok'
echo "figure verbatim configuration: $((SECONDS - began)) s from start over a hang to up again"

# The same, faster, by a reload: counters and history stay.
fast='defaults: {interval: 1s, retry_interval: 1s, timeout: 1s}'
{ echo "$fast"; cat /opt/design.yml; } | configuration
before=$(service '.history | length')
systemctl reload wellkeep-monitor
wait_for 'reloaded' 5 holds_for_all '.monitor.config.loaded_at > .monitor.started_at'
like 'the history survives a reload' "$(service ".state, (.history | length) >= $before")" $'up\ntrue'

# A wrong file: the last good one stays, and log and document say so.
sed 's/port: 5000/prt: 5000/' /opt/design.yml | configuration
systemctl reload wellkeep-monitor
wait_for 'the document says that the file is wrong' 5 holds_for_all '.monitor.config.error // "" | contains("prt")'
like 'the log says it' "$(log)" 'the last good one stays in force'
sleep 1.5
wait_for 'the last good one is in force' 5 holds '.state == "up" and .port.ok'
{ echo "$fast"; cat /opt/design.yml; } | configuration
systemctl reload wellkeep-monitor
wait_for 'mended' 5 holds_for_all '.monitor.config.error == null'

# Stopped by an administrator, and started again.
systemctl stop chatstack-web
wait_for 'stopped' 5 holds '.state == "stopped" and .systemd.state == "inactive"'
systemctl start chatstack-web
wait_for 'up again' 10 holds '.state == "up"'
like 'by way of starting' "$(service '[.history[].to] | join(" ")')" 'stopped starting up'

# Killed: systemd restarts it after 10 s, and that is seen.
systemctl kill --signal=KILL chatstack-web
wait_for 'a kill is seen' 5 holds '.state == "starting" or .state == "down"'
wait_for 'the signal is told' 5 holds '.reason // "" | contains("SIGKILL")'
wait_for 'up after the kill' 30 holds '.state == "up" and .systemd.restarts == 1'

# No bus: nobody can tell the unit's state, and the rest goes on.
systemctl stop dbus.service dbus.socket
wait_for 'without the bus degraded' 10 holds '.state == "degraded" and .ok and .systemd.outcome == "unknown" and .http.ok'
like 'the reason without the bus' "$(service .reason)" 'D-Bus'
systemctl start dbus.socket dbus.service
wait_for 'up with the bus' 10 holds '.state == "up" and .systemd.state == "active"'

# The log tells each transition once, just as the document's history does.
history() { service '.history[] | "\(.from) \(.to)"'; }
told() {
    log WELLKEEP_SERVICE=chatstack_web WELLKEEP_EVENT=transition |
        sed -En 's/^chatstack_web: ([a-z]+), after ([0-9]+[a-z]+ )+([a-z]+)(:.*)?$/\3 \1/p'
}
# A document may be younger than the log that is read, or older, by one transition.
agree() {
    local told
    told=$(told)
    [ -n "$told" ] && [ "$(history)" = "$told" ]
}
hint='diff <(history) <(told)' wait_for 'each transition is logged once' 5 agree
like 'errors have their priority' "$(log -p err WELLKEEP_SERVICE=chatstack_web)" 'chatstack_web: down'

# kill -9 of the monitor: systemd starts it again, and the document never goes away.
for round in 1 2 3; do
    pid=$(systemctl show -P MainPID wellkeep-monitor)
    # 0 where none runs, and for `kill` that means everybody here.
    [ "$pid" -gt 0 ] && kill -KILL "$pid"
    wait_for "monitor $((round + 1)) writes" 10 holds_for_all ".monitor.pid != $pid"
done
wait_for 'up under the new monitor' 10 holds '.state == "up"'
same 'restarts of the monitor' "$(systemctl show -P NRestarts wellkeep-monitor)" 3
# One that is just being written goes away again.
nothing_is_left() { [ -z "$(find /var/lib/wellkeep -name '.atomicwrite*')" ]; }
hint='ls -la /var/lib/wellkeep' wait_for 'nothing is left lying about' 5 nothing_is_left

# The viewer's end and return.
kill -KILL "$(systemctl show -P MainPID wellkeep-viewer)"
wait_for 'the viewer is back' 10 holds '.state == "up"'

# A wrong configuration at the start: 78, once.
before=${EPOCHREALTIME/./}
systemctl stop wellkeep-monitor
took=$(((${EPOCHREALTIME/./} - before) / 1000))
# Without waiting for anybody: for what does not end systemd has patience of 90 s, and a look at a host's name of 10 s.
claim 'the monitor stops at once' "$took ms" test $took -lt 10000
wait_for 'never green without a monitor' 5 health_is 503
echo 'services: 7' | configuration
systemctl start wellkeep-monitor 2>/dev/null && bad 'it started with a wrong configuration'
sleep 2.5
like 'a wrong configuration ends it for good' \
    "$(systemctl show -P ExecMainStatus -P NRestarts -P ActiveState wellkeep-monitor | sort | tr '\n' ' ')" '0 78 failed'
journalctl --sync
like 'the log says what is wrong' "$(journalctl --no-pager -o cat -u wellkeep-monitor -n 20)" '/etc/wellkeep/monitor.yml'
configuration </opt/design.yml
claim 'it starts when the file is right' failed systemctl start wellkeep-monitor

kill "$reader"
wait "$reader"
like 'every read was complete and valid' "$(cat /run/reader.log)" ', 0 faults'
