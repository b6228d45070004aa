# shellcheck shell=bash disable=SC2317
# Healing while the bus or systemd goes away and comes back: whatever crashes or hangs meanwhile is healed in the end, what
# ended while nobody could see why is not, and the monitor as it is shipped goes on through all of it.

calm
troubles=(dbus-restarted reloaded reexecuted dbus-hangs dbus-stopped)
mkdir -p /etc/wellkeep
echo 'services:' >/etc/wellkeep/monitor.yml
port=8000
for trouble in "${troubles[@]}"; do
    port=$((port + 1))
    printf '%s\n' '[Service]' 'ExecStart=sleep infinity' | unit "crash-$trouble.service"
    printf '%s\n' '[Service]' "ExecStart=python3 -m http.server --bind 127.0.0.1 $port" | unit "hang-$trouble.service"
    {
        echo "  - {key: crash-$trouble, systemd: crash-$trouble}"
        echo "  - {key: hang-$trouble, systemd: hang-$trouble, url: \"http://127.0.0.1:$port/\"}"
    } >>/etc/wellkeep/monitor.yml
done
printf '%s\n' '[Service]' 'ExecStart=sleep infinity' | unit exits.service
cat >>/etc/wellkeep/monitor.yml <<'Y'
  - {key: exits, systemd: exits}
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s, heal: restart}
monitor: {heartbeat: 1s, heal_budget: 60}
Y
systemd-sysusers
systemctl daemon-reload
systemctl start "${troubles[@]/#/crash-}" "${troubles[@]/#/hang-}" exits wellkeep-monitor

ledger=/var/lib/wellkeep/ledger.jsonl
shown() { systemctl show -P "$2" "$1"; }
# strike SIGNAL UNIT: its main process, if it has one: 0 would be all of ours.
strike() {
    local pid
    pid=$(shown "$2" MainPID)
    [ "$pid" = 0 ] || kill "-$1" "$pid"
}
decided() { grep -q "\"service\":\"$1\",\"decision\":\"$2\"" $ledger 2>/dev/null; }
document() { jq -r "$1" /var/lib/wellkeep/status.json; }
all_up() { [ "$(document .overall)" = up ]; }
hint() { cat $ledger; journalctl --no-pager -n 10 -u wellkeep-monitor; }
# shellcheck disable=SC2034 # for wait_for
hint=hint
wait_for 'all is up' 30 all_up
monitor=$(shown wellkeep-monitor MainPID)
began=$SECONDS
# In hundredths of a second.
used() { local stat; read -r -a stat <"/proc/$monitor/stat"; echo $((stat[13] + stat[14])); }
used=$(used)

# goes_on WHAT: documents are written, from now on as well.
goes_on() { wait_for "the documents go on $1" 5 is_after "$(date -u +%FT%TZ)"; }
is_after() { [[ $(document .generated_at) > $1 ]]; }

# break_both TROUBLE: one crashes, one hangs.
break_both() {
    strike KILL "crash-$1"
    strike STOP "hang-$1"
}
# healed TROUBLE: both run anew, and that was verified.
healed() {
    local key
    for key in crash-$1 hang-$1; do
        wait_for "$key is healed" 60 decided "$key" healed
        journalctl --sync
        same 'starts: one restart' "$(journalctl --quiet --no-pager -u "$key" | grep -c ": Started $key")" 2
    done
}

break_both dbus-restarted
systemctl restart dbus.service
healed dbus-restarted

break_both reloaded
systemctl daemon-reload
healed reloaded

break_both reexecuted
systemctl daemon-reexec
healed reexecuted

strike STOP dbus.service
break_both dbus-hangs
sleep 12
goes_on 'while dbus hangs'
strike CONT dbus.service
healed dbus-hangs

systemctl stop dbus.socket dbus.service
sleep 2
break_both dbus-stopped
strike TERM exits
sleep 18
goes_on 'without dbus'
like 'nothing is done blindly' "$(shown crash-dbus-stopped ActiveState)" failed
systemctl start dbus.socket dbus.service
healed dbus-stopped
wait_for 'what ended unseen is refused' 20 decided exits refuse
like 'in plain words' "$(wellkeep why exits)" 'not restarted: *systemd does not tell which afterwards'
like 'it was not started' "$(shown exits ActiveState)" inactive

used=$(($(used) - used))
share=$((used / (SECONDS - began)))
echo "figure the monitor took $share % of a CPU (a debug build)"
claim 'it did not spin' "$share %" [ $share -lt 30 ]
like 'it is the same monitor' "$(shown wellkeep-monitor MainPID) $(shown wellkeep-monitor NRestarts)" "$monitor 0"
like 'it panicked nowhere' "<$(journalctl --no-pager -u wellkeep-monitor | grep -c panicked)>" '<0>'
