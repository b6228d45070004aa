# shellcheck shell=bash disable=SC2317
# A wrong configuration at the boot (it is there before it: see wrong/): the monitor ends with 78, once, and nothing spins;
# the viewer's page says so. Mended, it starts. At a reload a wrong one changes nothing: see the scenario `reload`.

api() { curl --silent --max-time 20 "http://127.0.0.1:9355$1"; }
says() { api /api/status | jq -e "$1" >/dev/null; }
health_is() { [ "$(curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:9355/health)" = "$1" ]; }
shown() { systemctl show -P "$1" wellkeep-monitor; }
# shellcheck disable=SC2034 # for wait_for
hint=all
all() { journalctl --no-pager -n 20 -u wellkeep-monitor; api /api/status; }

failed_once() { [ "$(shown ActiveState) $(shown ExecMainStatus) $(shown NRestarts)" = 'failed 78 0' ]; }
wait_for 'the monitor has failed with 78' 30 failed_once
wait_for 'the viewer runs all the same' 30 says .viewer
# Five times RestartSec=.
sleep 5
claim 'it was not tried again' "$(shown ActiveState) $(shown ExecMainStatus) $(shown NRestarts)" failed_once
like 'the log says where, what and what to write' "$(journalctl --no-pager -o cat -u wellkeep-monitor)" \
    '/etc/wellkeep/monitor.yml:3:5:'
claim 'the viewer says that there is nothing to show, and why' "$(api /api/status)" \
    says '.viewer.reason | contains("no monitor has written") and contains("/etc/wellkeep/monitor.yml:2:5")'
wait_for 'never green' 10 health_is 503

echo 'services: [{key: journal, systemd: systemd-journald}]' >/etc/wellkeep/monitor.yml
claim 'mended, it starts' "$(shown ActiveState)" systemctl start wellkeep-monitor
wait_for 'and all is well' 30 health_is 200
