# shellcheck shell=bash
# A machine that starves: what answers late is left alone, what crashed is not.

if [ ! -e /proc/pressure/cpu ]; then
    echo 'skipped, because this kernel does not tell its pressure (PSI)'
    finish
fi
like 'the kernel tells it as we read it' "$(head -n 1 /proc/pressure/cpu)" 'some avg10=[0-9]*.[0-9][0-9] '
unit late.service <<'U'
[Service]
ExecStart=python3 -m http.server --bind 127.0.0.1 8000
U
unit crashes.service <<'U'
[Service]
ExecStart=sleep infinity
U
mkdir -p /etc/wellkeep
cat >/etc/wellkeep/monitor.yml <<'Y'
services:
  - {key: late, systemd: late, url: "http://127.0.0.1:8000/"}
  - {key: crashes, systemd: crashes}
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s, heal: restart}
monitor: {heartbeat: 1s}
Y
pressure 92
systemd-sysusers
systemctl daemon-reload
systemctl start late crashes wellkeep-monitor
ledger=/var/lib/wellkeep/ledger.jsonl
decided() { grep -q "\"service\":\"$1\",\"decision\":\"$2\"" $ledger 2>/dev/null; }
up() { [ "$(jq -r ".services.$1.state" /var/lib/wellkeep/status.json)" = up ]; }
# shellcheck disable=SC2034 # for wait_for
hint="cat $ledger"
for key in late crashes; do wait_for "$key is up" 20 up $key; done

before=$(systemctl show -P InvocationID late)
kill -STOP "$(systemctl show -P MainPID late)"
kill -KILL "$(systemctl show -P MainPID crashes)"
wait_for 'what crashed is healed' 30 decided crashes healed
wait_for 'what is late waits' 30 decided late wait
like 'in plain words' "$(wellkeep why late)" \
    'the CPU is overloaded (somebody waits for it 92 % of the time), so a late answer is no fault of the service'
sleep 6
like 'it was left alone' "$(systemctl show -P InvocationID late)" "$before"
same 'lines that tell of it, not one a look' "$(grep -c 'the CPU is overloaded' $ledger)" 1

pressure 79
wait_for 'it is healed when the machine can do its work again' 30 decided late healed
