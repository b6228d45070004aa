# shellcheck shell=bash
# An installation that is right has nothing to be done about it; each way to break it is found, and the advice mends it.

# doctor [AS...]: looks, for `says` and `ends`. Its commands are for root and so without sudo.
doctor() {
    "$@" wellkeep doctor >/run/doctor.txt 2>&1
    ended=$?
}
# finding LEVEL WHAT PATTERN: whether there is a line with this level about this, and this (a glob) in what was found.
finding() {
    local line start
    printf -v start '%-7s  %s' "$1" "$2"
    while read -r line; do
        # shellcheck disable=SC2053 # a glob is wanted
        [[ $line != "$start"* || $line != *$3* ]] || return 0
    done </run/doctor.txt
    return 1
}
# says CLAIM LEVEL WHAT PATTERN: the last look found that.
says() { claim "$1" "$(cat /run/doctor.txt)" finding "${@:2}"; }
none() { ! "$@"; }
# advised COMMAND: it stands there as a line of its own, and is followed to the letter.
advised() {
    claim "the advice is: $1" "$(cat /run/doctor.txt)" grep -qxF "             $1" /run/doctor.txt
    bash -c "$1" >/run/advice.txt 2>&1 || bad "$1" "$(cat /run/advice.txt)"
}
healthy() { doctor; [ $ended = 0 ] && grep -qx 'Nothing to do\.' /run/doctor.txt; }
# shellcheck disable=SC2034 # for wait_for
hint='cat /run/doctor.txt'
well() { pause=0.3 wait_for "$1" 30 healthy; }

mkdir -p /etc/wellkeep
cat >/etc/wellkeep/monitor.yml <<'Y'
services:
  - {key: web, systemd: web.service, heal: restart}
  - {key: journal, systemd: systemd-journald.service, process_match: systemd-journald}
Y
unit web.service <<'U'
[Service]
ExecStart=sleep infinity
U
systemd-sysusers
systemctl daemon-reload
systemctl start web.service
calm
systemctl --quiet enable --now wellkeep-monitor wellkeep-viewer || bad 'monitor and viewer start'

well 'an installation that is right has nothing to do'
claim 'no problem, no warning' "$(cat /run/doctor.txt)" none grep -Eq 'PROBLEM|WARNING|unknown  ' /run/doctor.txt
says 'the monitor runs' ok wellkeep-monitor.service 'enabled, active'
says 'the page answers' ok http://127.0.0.1:9355/ answers
says 'the rule is compared' ok 'rule for polkit' 'exactly what'
like 'the same as JSON' "$(wellkeep doctor --json | jq -c '[.problems, .warnings, .unknown]')" '[0,0,0]'
# The monitor itself writes its document, and with it touches its folder.
mark=$(mktemp)
wellkeep doctor >/dev/null
changed=$(find /etc /usr/lib /var/lib/wellkeep -newer "$mark" ! -name status.json ! -path /var/lib/wellkeep ! -name '.atomic*')
claim 'it changes nothing' "$changed" test -z "$changed"

doctor setpriv --reuid=nobody --regid=nogroup --clear-groups
says 'without rights the rule cannot be compared' unknown 'rule for polkit' 'cannot be read by you'
claim 'and that is no all clear' "$ended: $(cat /run/doctor.txt)" test $ended = 2
like 'but says how to see more' "$(tail -n 1 /run/doctor.txt)" 'sudo wellkeep doctor'

systemctl --quiet mask --now polkit.service
doctor
says 'polkit is masked' PROBLEM polkitd masked
claim 'something to do is told by its end' "$ended" test $ended = 1
advised 'systemctl unmask polkit.service'
advised 'systemctl start polkit.service'
well 'the advice about polkit was right'

rm /etc/polkit-1/rules.d/49-wellkeep.rules
doctor
says 'the rule is gone' PROBLEM 'rule for polkit' missing
advised 'wellkeep privileges --write'
well 'the advice about the rule was right'

systemctl --quiet mask --now wellkeep-viewer
doctor
says 'the viewer is masked' WARNING wellkeep-viewer.service masked
advised 'systemctl unmask wellkeep-viewer.service'
advised 'systemctl enable --now wellkeep-viewer.service'
well 'the advice about the viewer was right'

systemctl stop wellkeep-viewer
install_web
web=$(systemd-run --quiet --collect --unit=squatter /usr/local/bin/web 9355 && echo squatter)
wait_for 'somebody else has the port' 20 web 9355 /
systemctl --no-block start wellkeep-viewer
doctor
says 'who has the port is named' PROBLEM http://127.0.0.1:9355/ 'has this port'
like 'by its process' "$(cat /run/doctor.txt)" "(pid $(systemctl show -P MainPID squatter))"
systemctl stop "$web"
advised 'systemctl restart wellkeep-viewer.service'
well 'a port that is free again is no finding'

chown -R root:root /var/lib/wellkeep
doctor
says 'a state directory of somebody else' PROBLEM /var/lib/wellkeep 'wellkeep cannot write it'
advised 'chown --recursive wellkeep: /var/lib/wellkeep'
advised 'chmod 0755 /var/lib/wellkeep'
advised 'systemctl restart wellkeep-monitor'
well 'the advice about the state directory was right'

chmod 0600 /etc/wellkeep/monitor.yml
doctor
says 'a configuration that the monitor cannot read' PROBLEM /etc/wellkeep/monitor.yml 'wellkeep cannot read it'
advised 'chgrp wellkeep /etc/wellkeep/monitor.yml'
advised 'chmod g+rX /etc/wellkeep/monitor.yml'
chmod 0644 /etc/wellkeep/monitor.yml
well 'the advice about the configuration was right'

cp /etc/wellkeep/monitor.yml /run/right.yml
sed -i 's/heal: restart/heel: restart/' /etc/wellkeep/monitor.yml
doctor
says 'a wrong configuration' PROBLEM /etc/wellkeep/monitor.yml 'wrong: 1 problem'
systemctl restart wellkeep-monitor 2>/dev/null
failed() { [ "$(systemctl show -P ActiveState wellkeep-monitor)" = failed ]; }
wait_for 'the monitor ends by it' 20 failed
doctor
says 'the monitor ended by it' PROBLEM wellkeep-monitor.service '(78)'
cp /run/right.yml /etc/wellkeep/monitor.yml
advised 'systemctl restart wellkeep-monitor.service'
well 'a configuration that was mended is no finding'

sleep 1.1
echo >>/etc/wellkeep/monitor.yml
doctor
says 'a file that is not in force yet' WARNING 'configuration in force' 'changed after'
advised 'systemctl reload wellkeep-monitor'
well 'the advice about the reload was right'

pid=$(systemctl show -P MainPID wellkeep-monitor)
kill -STOP "$pid"
stale() { doctor; finding PROBLEM /var/lib/wellkeep/status.json 'not written for'; }
pause=1 wait_for 'a monitor that was stopped is found by its document' 45 stale
advised "kill -CONT $pid"
well 'the advice about the monitor was right'

cp /usr/bin/wellkeep /usr/bin/wellkeep.new
mv /usr/bin/wellkeep.new /usr/bin/wellkeep
doctor
says 'a program that was replaced' WARNING wellkeep-monitor.service 'was replaced'
advised 'systemctl restart wellkeep-monitor.service'
advised 'systemctl restart wellkeep-viewer.service'
well 'the advice about the upgrade was right'

echo '# newer' >>/usr/lib/systemd/system/wellkeep-viewer.service
doctor
says 'a unit that changed' WARNING wellkeep-viewer.service 'changed since systemd read it'
advised 'systemctl daemon-reload'
well 'the advice about the unit was right'

kill -STOP "$(systemctl show -P MainPID dbus.service)"
began=$SECONDS
doctor
says 'a bus that hangs' PROBLEM 'system D-Bus' 'did not answer'
claim 'it does not hang with the bus' "$((SECONDS - began)) s" test $((SECONDS - began)) -lt 60
advised 'systemctl kill --signal=CONT dbus.service'
well 'the advice about the bus was right'

systemctl stop dbus.socket dbus.service
doctor
says 'no bus' PROBLEM 'system D-Bus' 'no system D-Bus'
claim 'what systemd alone knows is not made up' "$(cat /run/doctor.txt)" none grep -q WARNING /run/doctor.txt
advised 'systemctl start dbus.socket dbus.service'
well 'the advice about the missing bus was right'
