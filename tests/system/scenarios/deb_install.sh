# shellcheck shell=bash
# The package from its installation on a fresh system to its purge, as `dpkg` does it.

# package WHAT DPKG-ARGUMENT...: works, and says nothing but what it does.
package() {
    if ! dpkg "${@:2}" >/run/dpkg.log 2>&1 || grep -qv "$ordinary" /run/dpkg.log; then
        bad "$1" "$(cat /run/dpkg.log)"
    else
        good "$1"
    fi
}
ordinary='^\(Selecting\|Preparing\|Unpacking\|Setting up\|(Reading\|Removing\|Purging\|Processing\|Creating\|Created\)'
page() { curl --silent --max-time 2 --fail "http://127.0.0.1:9355$1"; }
answers() { page "$1" >/dev/null; }
is_active() { [ "$(systemctl is-active "$1" 2>/dev/null)" = "$2" ]; }
is_enabled() { [ "$(systemctl is-enabled "$1" 2>/dev/null)" = "$2" ]; }
all_ok() { [ "$(page /api/status | jq -r .fail_count)" = 0 ]; }

# A service that somebody else runs, which must not notice any of this.
claim 'cron runs' none systemctl is-active --quiet cron
cron=$(systemctl show -P MainPID cron)

package 'it installs without a complaint' --install /opt/wellkeep.deb
for unit in wellkeep-monitor.service wellkeep-viewer.service; do
    claim "$unit is enabled" "$(systemctl is-enabled $unit)" is_enabled $unit enabled
    claim "$unit runs" "$(systemctl status $unit)" is_active $unit active
done
for unit in wellkeep-viewer.socket wellkeep-reload.path; do
    claim "$unit is there for those who want it" "$(systemctl is-enabled $unit)" is_enabled $unit disabled
    claim "$unit is not started" "$(systemctl is-active $unit)" is_active $unit inactive
done
wait_for 'the page answers' 20 answers /
wait_for 'the API answers' 20 answers /api/status
claim 'status.json is for everybody' "$(stat -c '%a %U' /var/lib/wellkeep/status.json)" \
    test "$(stat -c '%a %U' /var/lib/wellkeep/status.json)" = '644 wellkeep'
like 'what is not on this machine is not watched' "$(page /api/status | jq -c '.services | keys')" '["cron","journal","wellkeep_viewer"]'
wait_for 'all is well' 60 all_ok
claim 'the shipped configuration is right' "$(wellkeep check)" wellkeep check
# There is no man in here to look them up with.
said=$(systemd-analyze verify --man=no /usr/lib/systemd/system/wellkeep-* 2>&1)
claim 'the units are right' "$said" test -z "$said"
mapfile -t pages < <(grep -oh 'man:[^ ]*' /usr/lib/systemd/system/wellkeep-* | sort -u)
for page in "${pages[@]}"; do
    [[ $page =~ ^man:(.*)\((.)\)$ ]] || continue
    claim "$page, which a unit names, is there" none test -s "/usr/share/man/man${BASH_REMATCH[2]}/${BASH_REMATCH[1]}.${BASH_REMATCH[2]}.gz"
done

# Nobody asked for more than the viewer to be healed.
systemctl kill --signal=KILL cron
sleep 1
systemctl stop cron
is_down() { [ "$(page /api/status | jq -r '.services.cron.ok')" = false ]; }
wait_for 'a stopped service is told' 40 is_down
sleep 15
claim 'nothing was healed' "$(cat /var/lib/wellkeep/ledger.jsonl)" \
    test -z "$(jq -r 'select(.decision == "heal")' /var/lib/wellkeep/ledger.jsonl 2>/dev/null)"
claim 'nor started' "$(systemctl is-active cron)" is_active cron inactive
systemctl start cron
cron=$(systemctl show -P MainPID cron)
# The one that is: the rule for polkit is written by the unit.
like 'the rule allows what is to be healed and nothing else' "$(cat /etc/polkit-1/rules.d/49-wellkeep.rules)" wellkeep-viewer.service
claim 'it does not name others' none test -z "$(grep cron /etc/polkit-1/rules.d/49-wellkeep.rules)"
like 'configuration files are those of dpkg' "$(cat /var/lib/dpkg/info/wellkeep.conffiles)" /etc/wellkeep/monitor.yml

for file in man1/wellkeep.1 man1/wellkeep-status.1 man5/monitor.yml.5 man5/wellkeep-status.json.5; do
    claim "the page $file" none test -s "/usr/share/man/$file.gz"
done
for file in bash-completion/completions/wellkeep zsh/vendor-completions/_wellkeep \
    fish/vendor_completions.d/wellkeep.fish wellkeep/status.schema.json \
    wellkeep/history.schema.json wellkeep/incidents.schema.json wellkeep/monitor.schema.json; do
    claim "/usr/share/$file" none test -s "/usr/share/$file"
done
claim 'bash takes its completions' none bash -n /usr/share/bash-completion/completions/wellkeep

# The socket instead of the address in monitor.yml.
systemctl stop wellkeep-viewer
mkdir /etc/systemd/system/wellkeep-viewer.socket.d
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:80\n' >/etc/systemd/system/wellkeep-viewer.socket.d/port.conf
systemctl daemon-reload
systemctl --quiet enable --now wellkeep-viewer.socket
systemctl start wellkeep-viewer
by_socket() { curl --silent --max-time 2 --fail --output /dev/null http://127.0.0.1:80/livez; }
wait_for 'the socket decides where the page is' 20 by_socket

# Removed: stopped, without a right left, and nothing lost.
echo '# mine' >>/etc/wellkeep/monitor.yml
echo 'services: [{key: mine, systemd: cron}]' >/etc/wellkeep/monitor.d/mine.yml
package 'it is removed without a complaint' --remove wellkeep
claim 'no process is left' "$(pgrep -a wellkeep)" test -z "$(pgrep wellkeep)"
claim 'its rights are gone' none test ! -e /etc/polkit-1/rules.d/49-wellkeep.rules
claim 'the configuration stays' none grep -q '# mine' /etc/wellkeep/monitor.yml
claim 'what it found stays' none test -s /var/lib/wellkeep/status.json
claim 'cron did not notice' "$(systemctl show -P MainPID cron)" test "$(systemctl show -P MainPID cron)" = "$cron"
claim 'nothing failed' "$(systemctl --failed --no-legend)" test -z "$(systemctl --failed --no-legend)"

# Installed again: as if nothing had been.
package 'it installs again' --install /opt/wellkeep.deb
claim 'it runs again' "$(systemctl status wellkeep-monitor)" is_active wellkeep-monitor active
claim 'also the viewer' "$(systemctl status wellkeep-viewer)" is_active wellkeep-viewer active
claim 'the socket is open again' "$(systemctl status wellkeep-viewer.socket)" is_active wellkeep-viewer.socket active
wait_for 'and the viewer behind it' 20 by_socket
has_mine() { jq -e .services.mine /var/lib/wellkeep/status.json >/dev/null; }
wait_for 'with the same configuration' 20 has_mine

systemctl --quiet enable --now wellkeep-reload.path
package 'it is purged without a complaint' --purge wellkeep
claim 'cron did not notice that either' "$(systemctl show -P MainPID cron)" test "$(systemctl show -P MainPID cron)" = "$cron"
claim 'no user is left' "$(getent passwd wellkeep)" test -z "$(getent passwd wellkeep)$(getent group wellkeep)"
claim 'a drop-in of the administrator is not touched' none test -e /etc/systemd/system/wellkeep-viewer.socket.d/port.conf
rm -r /etc/systemd/system/wellkeep-viewer.socket.d
systemctl daemon-reload
left=$(find / /run /dev -xdev \( -path /opt -o -path /tmp -o -path /var/log/journal \) -prune -o -name '*wellkeep*' -print)
claim 'no file is left' "$left" test -z "$left"
claim 'no unit is left' "$(systemctl list-units --all --no-legend 'wellkeep*')" \
    test -z "$(systemctl list-units --all --no-legend 'wellkeep*')"

# Somebody who has that name already stays, with everything, and is told.
useradd --create-home wellkeep
dpkg --install /opt/wellkeep.deb >/run/dpkg.log 2>&1 || bad 'it installs beside a user of that name' "$(cat /run/dpkg.log)"
like 'it says that there is one' "$(cat /run/dpkg.log)" 'the user wellkeep was there before'
# What is mounted is emptied and left.
mount -t tmpfs tmpfs /etc/wellkeep
touch /etc/wellkeep/mine.yml
dpkg --purge wellkeep >/run/dpkg.log 2>&1 || bad 'it is purged although a folder is mounted' "$(cat /run/dpkg.log)"
claim 'the user is still there' none getent passwd wellkeep
claim 'and the home' none test -d /home/wellkeep
claim 'the mounted folder is empty' "$(ls /etc/wellkeep)" test -z "$(ls /etc/wellkeep)"
claim 'nothing is half removed' "$(dpkg-query --show --showformat '${db:Status-Abbrev}' wellkeep 2>&1)" \
    test -z "$(dpkg-query --show wellkeep 2>/dev/null)"
