# shellcheck shell=bash
# An upgrade under way while everything runs, and back again: what was counted stays, what an administrator chose stays.

# A later package: the same program, and a monitor.yml that has changed.
dpkg-deb --raw-extract /opt/wellkeep.deb /srv/next
sed -i 's/^Version: .*/Version: 0.9.0-1/' /srv/next/DEBIAN/control
sed -i 's/^  - key: journal$/  - key: journald/' /srv/next/etc/wellkeep/monitor.yml
(cd /srv/next && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group --build /srv/next /srv/next.deb >/dev/null
version() { dpkg-query --show --showformat '${Version}' wellkeep; }
document() { jq -r "$1" /var/lib/wellkeep/status.json; }
is() { [ "$(document "$1")" = "$2" ]; }
main_pid() { systemctl show -P MainPID "$1"; }

calm
unit web.service <<'U'
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 8000
U
mkdir -p /etc/wellkeep/monitor.d
cat >/etc/wellkeep/monitor.d/web.yml <<'C'
services:
  - {key: web, url: http://127.0.0.1:8000/, systemd: web, interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, heal: restart}
  - {key: missing, port: 9, interval: 1s, retry_interval: 1s, timeout: 1s, start_grace: 0s}
C
systemctl daemon-reload
systemctl start web
dpkg --install /opt/wellkeep.deb >/run/dpkg.log 2>&1 || bad 'it installs' "$(cat /run/dpkg.log)"
wait_for 'web is up' 60 is .services.web.state up
wait_for 'another is down' 60 is .services.missing.state down
# A heal, which is counted.
kill -STOP "$(main_pid web)"
wait_for 'web was healed' 60 is .services.web.heal.heals_within_an_hour 1
wait_for 'web is up again' 60 is .services.web.state up
wellkeep hold missing --for 2h --reason upgrade >/dev/null || bad 'missing is held'
wait_for 'the hold holds' 60 is .services.missing.state held
# An administrator's choices.
sed -i 's/^#viewer:/viewer:/; s/^#  title: .*/  title: Mine/' /etc/wellkeep/monitor.yml
systemctl reload wellkeep-monitor
systemctl --quiet disable --now wellkeep-viewer
mkdir -p /etc/systemd/system/wellkeep-monitor.service.d
printf '[Service]\nEnvironment=MINE=1\n' >/etc/systemd/system/wellkeep-monitor.service.d/mine.conf
systemctl daemon-reload

# remembered: what must be the same on both sides.
remembered() {
    document '.services | {web: .web.heal.heals_within_an_hour, since: .missing.since, hold: .missing.hold.until}' | tr -d ' \n'
    jq -s '[.[] | select(.decision == "heal")] | length' /var/lib/wellkeep/ledger.jsonl
}
before=$(remembered)
web=$(main_pid web)
old=$(main_pid wellkeep-monitor)

# Somebody reads the file all the time: never away, never half, never without a writer for long.
python3 - <<'P' >/run/reader.log 2>&1 &
import json, os, time
faults, last, pids, gap = [], None, {}, 0.0
while True:
    try:
        with open("/var/lib/wellkeep/status.json") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        faults.append(str(error))
        continue
    pid = document["monitor"]["pid"]
    if last is not None and pid != last:
        gap = max(gap, time.monotonic() - seen)
    if pid != last or document["monitor"]["state"] == "running":
        last, seen = pid, time.monotonic()
    # By rename, for it may be killed at any moment.
    with open("/run/reader.new", "w") as file:
        json.dump({"faults": faults[:3], "gap_ms": round(gap * 1000)}, file)
    os.replace("/run/reader.new", "/run/reader")
    time.sleep(0.005)
P
reader=$!

# The changed file is asked about. N: keep mine.
echo N | dpkg --install /srv/next.deb >/run/dpkg.log 2>&1 || bad 'it is upgraded' "$(cat /run/dpkg.log)"
claim 'the new version is there' "$(version)" test "$(version)" = 0.9.0-1
like 'it asks about the file that both have changed' "$(cat /run/dpkg.log)" "monitor.yml (Y/I/N/O/D/Z)"
claim 'mine is kept' none grep -q 'title: Mine' /etc/wellkeep/monitor.yml
like 'the new one lies beside it' "$(ls /etc/wellkeep)" monitor.yml.dpkg-dist
new=$(main_pid wellkeep-monitor)
claim 'a new monitor runs' "$old, then $new" test "$new" != "$old" -a "$new" != 0
claim 'the viewer stays disabled' "$(systemctl is-enabled wellkeep-viewer)" test "$(systemctl is-enabled wellkeep-viewer)" = disabled
claim 'and stopped' "$(systemctl is-active wellkeep-viewer)" test "$(systemctl is-active wellkeep-viewer)" = inactive
like 'drop-ins are kept' "$(systemctl show -P Environment wellkeep-monitor)" MINE=1
wait_for 'the new one writes' 30 is .monitor.pid "$new"
wait_for 'web is up' 60 is .services.web.state up
claim 'what was counted, held and down is the same' "$before, then $(remembered)" test "$(remembered)" = "$before"
claim 'web did not notice' "$web, then $(main_pid web)" test "$(main_pid web)" = "$web"
kill $reader
claim 'the file was never away nor half' "$(cat /run/reader /run/reader.log)" jq -e '.faults == []' /run/reader
echo "figure upgrade: from the old monitor's last document to the new one's first: $(jq .gap_ms /run/reader) ms"
# A second is what it is to take; this machine may be busy with something else.
claim 'somebody wrote all the time' "$(cat /run/reader)" jq -e '.gap_ms < 10000' /run/reader

# With the socket nobody who asks for the page is turned away meanwhile.
systemctl --quiet enable --now wellkeep-viewer.socket
(while :; do curl --silent --max-time 10 --fail --output /dev/null http://127.0.0.1:9355/livez || echo refused; done) >/run/clients 2>&1 &
clients=$!
# Back to the version of before, which asks again.
echo N | dpkg --install /opt/wellkeep.deb >/run/dpkg.log 2>&1 || bad 'it is downgraded' "$(cat /run/dpkg.log)"
claim 'the old version is back' "$(version)" test "$(version)" != 0.9.0-1
back=$(main_pid wellkeep-monitor)
wait_for 'its monitor writes' 30 is .monitor.pid "$back"
wait_for 'web is up' 60 is .services.web.state up
claim 'it goes on with what was counted' "$before, then $(remembered)" test "$(remembered)" = "$before"
claim 'the socket is still there' "$(systemctl is-active wellkeep-viewer.socket)" systemctl --quiet is-active wellkeep-viewer.socket
claim 'it stays enabled' none systemctl --quiet is-enabled wellkeep-viewer.socket
sleep 1
kill $clients
wait $clients 2>/dev/null
claim 'no client was turned away' "$(sort /run/clients | uniq -c)" test ! -s /run/clients
claim 'nothing failed' "$(systemctl --failed --no-legend)" test -z "$(systemctl --failed --no-legend)"

# What was stopped stays stopped.
systemctl stop wellkeep-monitor
echo N | dpkg --install /srv/next.deb >/run/dpkg.log 2>&1 || bad 'it is upgraded while stopped' "$(cat /run/dpkg.log)"
claim 'a monitor that was stopped is not started' "$(systemctl is-active wellkeep-monitor)" \
    test "$(systemctl is-active wellkeep-monitor)" = inactive
like 'and the package says so' "$(cat /run/dpkg.log)" 'wellkeep-monitor.service was stopped, and is left so'
systemctl start wellkeep-monitor
running=$(main_pid wellkeep-monitor)

# A monitor that runs is not replaced by one that cannot.
cp /etc/wellkeep/monitor.yml /run/right.yml
echo 'nonsense: true' >>/etc/wellkeep/monitor.yml
echo N | dpkg --install /opt/wellkeep.deb >/run/dpkg.log 2>&1 || bad 'it is upgraded over a wrong file' "$(cat /run/dpkg.log)"
claim 'the monitor goes on' "$(systemctl status wellkeep-monitor)" test "$(main_pid wellkeep-monitor)" = "$running"
like 'the package says what to do' "$(cat /run/dpkg.log)" 'wellkeep check'
cp /run/right.yml /etc/wellkeep/monitor.yml
systemctl restart wellkeep-monitor
claim 'once that is done it runs' "$(systemctl status wellkeep-monitor)" systemctl --quiet is-active wellkeep-monitor
