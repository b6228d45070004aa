# shellcheck shell=bash disable=SC2317
# wellkeep-reload.path puts a changed configuration in force as soon as it is saved, however an editor saves it.

config=/etc/wellkeep/monitor.yml
value() { jq -r "$1" /var/lib/wellkeep/status.json 2>/dev/null; }
holds() { value "$1" | grep -qx true; }
log() { journalctl --sync; journalctl --no-pager -o cat -u wellkeep-monitor SYSLOG_IDENTIFIER=wellkeep; }
# shellcheck disable=SC2034 # for wait_for
hint=all
all() { log | tail -n 20; journalctl --no-pager -n 20 -u wellkeep-reload.service -u wellkeep-reload.path; value .monitor; }
# How often a reload was read, right or wrong.
reloads() { log | grep -c -e 'configuration reloaded' -e 'the configuration is wrong'; }
# name NAME: a configuration with a word that shows in the document; named NAME: it is in force.
name() { printf '%s\n' 'include: monitor.d/*.yml' "services: [{key: steady, name: $1, systemd: systemd-journald}]"; }
named() { [ "$(value .services.steady.name)" = "$1" ]; }

mkdir -p /etc/wellkeep/monitor.d
name first >$config
systemd-sysusers
systemctl start wellkeep-monitor || { bad 'the monitor starts' "$(all)"; finish; }
pid=$(systemctl show -P MainPID wellkeep-monitor)
like 'it is not enabled' "$(systemctl is-enabled wellkeep-reload.path)" disabled
systemctl start wellkeep-reload.path || bad 'the path unit starts'
name written >$config
wait_for 'a file that is written is put in force' 30 named written
name renamed >$config.new
mv $config.new $config
wait_for 'so is one that is put in its place' 30 named renamed
name backup >/run/new
# As vim may: the old one is renamed away, and a new one is written.
mv $config $config~
cp /run/new $config
rm $config~
wait_for 'and one that is written after the old one was renamed away' 30 named backup
echo 'services: [{key: coming, name: Included, systemd: dbus}]' >/etc/wellkeep/monitor.d/coming.yml
wait_for 'and one in the folder' 30 holds '.services.coming.name == "Included"'
mv /etc/wellkeep/monitor.d/coming.yml /etc/wellkeep/coming.off
is_gone() { [ "$(value .services.coming)" = null ]; }
wait_for 'and one that goes away' 30 is_gone

# Many saves: the last one counts, and there is no more than one reload a second.
before=$(reloads)
began=$SECONDS
for number in $(seq 30); do
    name "save$number" >$config.new
    mv $config.new $config
    sleep 0.1
done
wait_for 'the last of many saves is in force' 30 named save30
count=$(($(reloads) - before))
claim 'by a reload a second at most' "$count in $((SECONDS - began)) s" [ $count -le $((SECONDS - began + 2)) ]
# A save after the file was read and before the reload is over: here the reload goes on for a while after the reading. Whoever
# waited for its end would not be watching meanwhile.
mkdir -p /etc/systemd/system/wellkeep-monitor.service.d
printf '%s\n' '[Service]' 'ExecReload=/bin/sleep 2' >/etc/systemd/system/wellkeep-monitor.service.d/slow.conf
systemctl daemon-reload
name early >$config
wait_for 'a save is in force' 30 named early
name late >$config
wait_for 'and one in the middle of that reload' 30 named late
rm /etc/systemd/system/wellkeep-monitor.service.d/slow.conf
systemctl daemon-reload

# A wrong one is told, and nothing spins.
echo 'services: 7' >$config
wait_for 'a wrong one is told' 30 holds '.monitor.config.error != null'
before=$(reloads)
sleep 4
like 'and read once' "<$(reloads)>" "<$before>"
like 'and is no failure of a unit' "<$(systemctl show -P ActiveState wellkeep-reload.path) $(systemctl --failed --no-legend --plain | grep -c wellkeep)>" '<active 0>'
name mended >$config
wait_for 'mended' 30 named mended
like 'by the same monitor' "$(systemctl show -P MainPID wellkeep-monitor)" "$pid"

# A monitor that was stopped stays stopped.
systemctl stop wellkeep-monitor
name unseen >$config
sleep 4
like 'a stopped monitor is not started' "$(systemctl is-active wellkeep-monitor)" inactive
like 'and nothing has failed' "<$(systemctl --failed --no-legend --plain | grep -c -e wellkeep -e run-)>" '<0>'
systemctl start wellkeep-monitor || bad 'it starts'
wait_for 'with what was saved meanwhile' 30 named unseen
