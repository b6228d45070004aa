# shellcheck shell=bash
# The monitor's user may do to units what `heal` asks for and nothing else: a real systemd asks a real polkitd.

rules=/etc/polkit-1/rules.d/49-wellkeep.rules
manager=(org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager)
# as USER CALL...: a call to systemd as that user; what is said against it, or nothing.
as() { { setpriv --reuid="$1" --regid="$(id -g "$1")" --clear-groups busctl call "${manager[@]}" "${@:2}" >/dev/null; } 2>&1; }
# Nobody is there to be asked for a password, so "only with one" is a no as well.
no='@(ccess denied|nteractive authentication required)'
# may WHAT CALL..., may_not WHAT CALL...: whether the monitor's user may.
may() { like "may $1" "<$(as wellkeep "${@:2}")>" '<>'; }
may_not() { like "may not $1" "$(as wellkeep "${@:2}")" "$no"; }
granted() { [ -z "$(as wellkeep TryRestartUnit ss "$1" fail)" ]; }
denied() { ! granted "$1"; }
# at_rest: what was ordered last is done; only then the next order is no other's rival.
at_rest() { wait_for 'done' 5 has_no_job; }
has_no_job() { [ -z "$(systemctl list-jobs --no-legend)" ]; }
invocation() { systemctl show -P InvocationID "$1"; }
configuration() { cat >/etc/wellkeep/monitor.yml; }
mode() { stat -c '%a %U' "$rules"; }

for name in web other reloaded observed; do
    unit $name.service <<'U'
[Service]
ExecStart=sleep infinity
ExecReload=true
[Install]
WantedBy=multi-user.target
U
done
echo Alias=nickname.service >>/etc/systemd/system/web.service
mkdir -p /etc/wellkeep
configuration <<'Y'
services:
  - {key: web, systemd: nickname.service, heal: restart}
  - {key: reloaded, systemd: reloaded, heal: reload}
  - {key: ghost, systemd: ghost, heal: restart}
  - {key: observed, systemd: observed, heal: observe}
  - {key: other, systemd: other}
Y
systemd-sysusers
systemctl daemon-reload
systemctl --quiet enable web.service
systemctl start web other reloaded observed
may_not 'restart what is to be healed before there is a rule' TryRestartUnit ss web.service fail

# The step of the unit as it is shipped, below the unit's own sandbox.
systemctl start wellkeep-monitor || bad 'the monitor starts'
claim 'the rule is there' "$(ls -l ${rules%/*})" test -f $rules
like 'everybody can read the rule and only root can write it' "$(mode)" '644 root'
# shellcheck disable=SC2034 # for wait_for
hint='cat /etc/polkit-1/rules.d/49-wellkeep.rules'
wait_for 'polkit knows the rule' 5 granted web.service

before=$(invocation web)
may 'restart a unit that is to be healed' TryRestartUnit ss web.service fail
at_rest
until_state web.service active/running
claim 'it was restarted' "$before" test "$(invocation web)" != "$before"
may 'restart it by its alias' TryRestartUnit ss nickname.service fail
at_rest
may 'start it' StartUnit ss web.service fail
may 'clear its failure' ResetFailedUnit s web.service
may 'reload what is to be reloaded' ReloadUnit ss reloaded.service fail
at_rest
may_not 'restart what is only to be reloaded' TryRestartUnit ss reloaded.service fail
may_not 'reload what is only to be restarted' ReloadUnit ss web.service fail
may_not 'stop it' StopUnit ss web.service fail
may_not 'restart it as administrators do' RestartUnit ss web.service fail
may_not 'kill it' KillUnit ssi web.service all 9
may_not 'change its settings' SetUnitProperties 'sba(sv)' web.service true 1 CPUWeight t 1
may_not 'enable it' EnableUnitFiles asbb 1 web.service false false
may_not 'restart what is not healed' TryRestartUnit ss other.service fail
may_not 'restart what is only observed' TryRestartUnit ss observed.service fail
may_not 'start the shutdown' StartUnit ss poweroff.target fail
# A new unit with commands of its own, under a name that is to be healed and has no unit file, would run as root.
may_not 'make up a unit that is to be healed and does not exist' StartTransientUnit 'ssa(sv)a(sa(sv))' ghost.service \
    fail 1 ExecStart 'a(sasb)' 1 /usr/bin/touch 2 /usr/bin/touch /run/rooted false 0
like 'others may not' "$(as nobody TryRestartUnit ss web.service fail)" "$no"

# What others than root can write grants nothing.
mkdir -p /etc/wellkeep/monitor.d
cp /etc/wellkeep/monitor.yml /run/before.yml
echo 'include: monitor.d/*.yml' >>/etc/wellkeep/monitor.yml
echo 'services: [{key: evil, port: 1, heal: {unit: systemd-poweroff.service}}]' >/etc/wellkeep/monitor.d/evil.yml
chown nobody /etc/wellkeep/monitor.d
like "a file in another's folder is passed over" "$(wellkeep privileges --write 2>&1)" 'evil.yml is passed over'
claim 'what it asks for is not in the rule' "$(cat $rules)" test -z "$(grep poweroff $rules)"
like 'doctor names the folder' "$(wellkeep doctor)" 'PROBLEM*/etc/wellkeep/monitor.d*others than root'
rm -r /etc/wellkeep/monitor.d
cp /run/before.yml /etc/wellkeep/monitor.yml

# A reload brings the rule up to date, a wrong file leaves it as it is.
rule=$(cat $rules)
sed -i 's/heal: restart/heal: restrat/' /etc/wellkeep/monitor.yml
systemctl reload wellkeep-monitor || bad 'a reload with a wrong file'
claim 'a wrong file leaves the rule as it is' "$(cat $rules)" test "$(cat $rules)" = "$rule"
claim 'a wrong file is told by its status' none [ "$(wellkeep privileges --write >/dev/null 2>&1; echo $?)" = 78 ]
configuration <<'Y'
services: [{key: other, systemd: other, heal: {steps: [reload, restart]}}]
Y
systemctl reload wellkeep-monitor || bad 'a reload'
wait_for 'what is healed from now on is granted' 5 granted other.service
wait_for 'what is not healed any more is denied' 5 denied web.service
at_rest
may 'reload it as well' ReloadUnit ss other.service fail

written=$(stat -c %i $rules)
like 'a rule that is right is left alone' "$(wellkeep privileges --write)" 'as it should be'
claim 'a rule that is right is the same file' "$(stat -c %i $rules)" test "$(stat -c %i $rules)" = "$written"
like 'only root can write it' "$(setpriv --reuid=wellkeep --regid=wellkeep --clear-groups wellkeep privileges --write \
    --file $rules.other 2>&1)" 'run it with sudo'

configuration <<'Y'
services: [{key: other, systemd: other}]
Y
systemctl reload wellkeep-monitor || bad 'a reload'
claim 'without healing there is no rule' "$(ls ${rules%/*})" test ! -e $rules
wait_for 'without a rule nothing is granted' 5 denied other.service
like 'without healing nothing is printed but that' "$(wellkeep privileges)" '// Nothing is healed'
