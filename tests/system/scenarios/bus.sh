# shellcheck shell=bash
# The bus goes away, hangs and comes back under a monitor that runs: unknown meanwhile, and never a failure.

unit active.service <<'U'
[Service]
ExecStart=sleep infinity
U
systemctl daemon-reload
systemctl start active.service
{
    configure 'systemd: active.service'
    # A round that changes nothing is written by the heartbeat alone.
    printf '%s\n' 'defaults: {interval: 1s, retry_interval: 1s, timeout: 1s}' 'monitor: {heartbeat: 1s}'
} >/run/bus.yml
wellkeep monitor --config /run/bus.yml --status-file /run/bus/status.json 2>/run/bus.log &

document() { jq -r "$1" /run/bus/status.json 2>/dev/null; }

# answered OUTCOME PATTERN SINCE: a round that ended after the second SINCE says so.
answered() {
    local row
    row=$(document '.services.s1 | [.last_checked, .systemd.outcome, .systemd.reason, (.systemd | tojson)] | join("\t")')
    # shellcheck disable=SC2053 # a glob is wanted
    [[ ${row%%$'\t'*} > $3 && $row == *$'\t'$1$'\t'*$2* ]]
}

# ask WHAT OUTCOME [PATTERN]: what the monitor says next. A round a second, a limit of 1 s; the rest is for a busy machine.
ask() { wait_for "$1: $2" 6 answered "$2" "${3-}" "$(date -u +%FT%TZ)"; }
pid() { systemctl show -P MainPID active.service; }

ask 'the bus is there' pass "\"main_pid\":$(pid),"

systemctl restart active.service
ask 'another main process after a restart between two looks' pass "\"main_pid\":$(pid),"

systemctl restart dbus.service
ask 'the bus was restarted' pass

systemctl stop dbus.service dbus.socket
ask 'the bus is stopped' unknown 'D-Bus'
ask 'the bus is still stopped' unknown 'no system D-Bus: '
systemctl start dbus.socket dbus.service
ask 'the bus is back' pass "\"main_pid\":$(pid),"

kill -STOP "$(systemctl show -P MainPID dbus.service)"
ask 'the bus hangs' unknown 'the system D-Bus did not answer within 1s'
ask 'the bus still hangs' unknown 'the system D-Bus did not answer within'
kill -CONT "$(systemctl show -P MainPID dbus.service)"
ask 'the bus goes on' pass "\"main_pid\":$(pid),"

systemctl daemon-reexec
ask 'systemd executed itself anew' pass
systemctl daemon-reload
ask 'systemd read its units anew' pass

worst=$(document '[.services.s1.history[].to] | unique | join(" ")')
same 'never down' "$(grep -c 'down\|unstable' <<<"$worst")" 0
