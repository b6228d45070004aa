# shellcheck shell=bash
# The machine is told to power off under a monitor that heals: nothing is restarted on the way down, and nothing of it is
# an incident. A service that takes its time holds the machine until everything is said.

for name in web db; do
    unit $name.service <<'U'
[Service]
ExecStart=sleep infinity
U
done
unit slow.service <<'U'
[Service]
ExecStart=bash -c 'trap "" TERM; while :; do sleep 1; done'
TimeoutStopSec=600
U
# Is to be stopped after the slow one, so it still runs when the machine is on its way down.
unit late.service <<'U'
[Unit]
Before=slow.service
[Service]
ExecStart=sleep infinity
U
mkdir -p /etc/wellkeep
cat >/etc/wellkeep/monitor.yml <<'Y'
services:
  - {key: web, systemd: web}
  - {key: db, systemd: db}
  - {key: late, systemd: late}
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, heal: restart}
monitor: {heartbeat: 1s}
Y
systemd-sysusers
systemctl daemon-reload
systemctl start web db late slow wellkeep-monitor
# The shipped unit is stopped among the first. This one sees it all.
state=/run/shutdown
wellkeep monitor --status-file $state/status.json 2>$state.log &
document() { jq -r "$1" $state/status.json 2>/dev/null; }
all_up() { [ "$(document '.overall')" = up ]; }
# shellcheck disable=SC2034 # for wait_for
hint="cat $state.log"
wait_for 'all is up' 15 all_up

WELLKEEP_TEST_OWN_MACHINE=1 /opt/systemd --ignored --exact last_the_shutdown_is_told --nocapture >/run/told.log 2>&1
claim 'the watch tells of a shutdown' "$(cat /run/told.log)" grep -q '1 passed' /run/told.log
told() { grep -q 'the host shuts down' $state.log; }
wait_for 'the monitor tells of it' 10 told
late() { systemctl show -P "$1" late; }
like 'a service still runs' "$(late ActiveState) with a $(late Job)" 'active with a'
kill -KILL "$(late MainPID)"

down() { [ "$(systemctl is-active web db late wellkeep-monitor | grep -c '^\(inactive\|failed\)$')" = 4 ]; }
wait_for 'the services are down' 10 down
# Thresholds and the pause before a heal would be over after four seconds.
sleep 8
like 'the machine is on its way down' "$(systemctl is-system-running)" stopping
claim 'the monitor still runs' "$(cat $state.log)" kill -0 %1
claim 'no service was started' "$(systemctl is-active web db late)" down
starts() { journalctl --quiet --no-pager -u web -u db -u late | grep -c 'Started'; }
journalctl --sync
same 'starts, one each' "$(starts)" 3
for folder in $state /var/lib/wellkeep; do
    like 'no decision' "<$(cat "$folder/ledger.jsonl" 2>/dev/null)>" '<>'
    like 'no incident' "<$(ls "$folder/incidents" 2>/dev/null)>" '<>'
done
like 'the shipped monitor ended well' "$(systemctl show -P Result wellkeep-monitor)" success
looked=$(document '[.services[].last_checked] | max')
sleep 2
same 'nothing is probed' "$(document '[.services[].last_checked] | max')" "$looked"
