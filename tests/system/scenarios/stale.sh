# shellcheck shell=bash disable=SC2317
# What the viewer shows, as its unit runs it, when the document is not what it should be: a monitor that is stopped by a
# signal and goes on, killed, ended in good order, and files that are old, broken, unreadable, of another boot or time. None
# of it is green anywhere: API, health, badges, metrics, command line.

mkdir -p /etc/wellkeep /run/systemd/system/wellkeep-monitor.service.d
cat >/etc/wellkeep/monitor.yml <<'Y'
services: [{key: journal, name: Journal, systemd: systemd-journald}]
Y
# Otherwise systemd would end what is stopped here: see watchdog.sh.
printf '[Service]\nWatchdogSec=0\n' >/run/systemd/system/wellkeep-monitor.service.d/patient.conf
systemd-sysusers
systemctl daemon-reload
calm
document=/var/lib/wellkeep/status.json
# Of a state that is well, and the one of a badge alone.
green=136b38

get() { curl --silent --max-time 20 "http://127.0.0.1:9355$1"; }
code() { curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:9355$1"; }
data() { get /api/status | jq -r .viewer.data; }
is_data() { [ "$(data)" = "$1" ]; }
all_of_it() {
    get /api/status | jq -c '{stale, viewer, generated_at, boot_id}'
    ls -l "$document"
    journalctl --sync
    journalctl --no-pager -o cat -n 10 -u wellkeep-viewer -u wellkeep-monitor
}
# shellcheck disable=SC2034 # for wait_for
hint=all_of_it

# well WHAT: it is believed, and green where that is meant.
well() {
    wait_for "$1: fresh" 30 is_data fresh
    same "$1: health" "$(code /health)" 200
    like "$1: the badge is green" "$(get /badge/journal.svg)" "$green"
    like "$1: the host's, too" "$(get /badge.svg)" "$green"
    like "$1: metrics" "$(get /metrics)" 'wellkeep_service_up{service="journal"} 1'
}

# old WHAT SECONDS WORD REASON: within these seconds it is called that, with the last figures, and nothing is green.
old() {
    local metrics status
    wait_for "$1: $3" "$2" is_data "$3"
    like "$1: why" "$(get /api/status | jq -r .viewer.reason)" "$4"
    if [ "$3" = none ]; then
        same "$1: it says so" "$(get /api/status | jq -c '[.stale, .services]')" '[true,{}]'
        same "$1: also to whom reads no further" "$(code /api/status)" 503
    else
        same "$1: the last figures are old" "$(get /api/status | jq -c '[.stale, .services.journal.state]')" '[true,"up"]'
    fi
    same "$1: health" "$(code /health)" 503
    claim "$1: no badge is green" "$(get /badge.svg; get /badge/journal.svg)" \
        test -z "$( (get /badge.svg; get /badge/journal.svg) | grep -o "$green\|: up<")"
    metrics=$(get /metrics)
    like "$1: metrics say that no monitor stands behind it" $'\n'"$metrics" $'\nwellkeep_monitor_up 0'
    like "$1: and what is wrong" "$metrics" "wellkeep_document_state{state=\"$3\"} 1"
    claim "$1: and nothing of services" "$metrics" test -z "$(grep '^wellkeep_service' <<<"$metrics")"
    status=0
    setpriv --reuid=nobody --regid=nogroup --clear-groups wellkeep status >/run/status.said 2>&1 || status=$?
    same "$1: the command line cannot tell" "$status" 2
}

systemctl start wellkeep-monitor wellkeep-viewer || bad 'both start' "$(all_of_it)"
well 'a monitor at work'

monitor=$(systemctl show -P MainPID wellkeep-monitor)
kill -STOP "$monitor"
old 'a monitor that was stopped by a signal' 20 stale 'the monitor has written nothing since'
same 'it is there all the same' "$(systemctl is-active wellkeep-monitor)" active
kill -CONT "$monitor"
well 'a monitor that goes on'

# Not started anew, as by a unit whose Restart= somebody took away.
kept=$(cat "$document")
printf '[Service]\nRestart=no\n' >>/run/systemd/system/wellkeep-monitor.service.d/patient.conf
systemctl daemon-reload
systemctl kill --signal=KILL wellkeep-monitor
old 'a monitor that was killed' 20 stale 'it died, hangs, or cannot write'
systemctl reset-failed wellkeep-monitor

systemctl start wellkeep-monitor
well 'the next monitor'
systemctl stop wellkeep-monitor
old 'a monitor that ended in good order' 5 stopped 'the monitor was stopped at'

# From here on the files are written by hand, by rename as the monitor does it, and dated as if one were at work.
# put: the input takes the document's place. at SECONDS [JQ]: the document of just now, but for its date and what JQ changes.
put() { cat >"$document.new"; chmod 644 "$document.new"; mv "$document.new" "$document"; }
at() { jq --arg now "$(date -u -d "@$(($(date +%s) + $1))" +%FT%T.000Z)" ".generated_at = \$now | ${2-.}" <<<"$kept"; }
kept=$(jq '.stale_after_s = 600' <<<"$kept")

at 0 | put
well 'by hand'
at -86400 | put
old 'the clock was set a day forward' 5 stale 'has written nothing since'
at 3600 | put
old 'the clock was set an hour back' 5 future 'later than this machine'
at -864000 '.boot_id = "11111111-2222-3333-4444-555555555555"' | put
old 'an earlier boot' 5 earlier_boot 'before this machine was started'

# Broken files after a good one: that is shown, and called old.
broken() {
    at 0 | put
    wait_for "$1: fresh before" 5 is_data fresh
    "${@:3}"
    old "$1" 5 stale "$2"
}
half() { at 0 | head -c 700 | put; }
cut_in_place() { truncate -s 700 "$document"; }
another_schema() { at 0 '.schema = 99' | put; }
locked() { chmod 000 "$document"; }
empty() { put </dev/null; }
broken 'half of a document' 'is not a status document' half
broken 'a document that was truncated' 'is not a status document' cut_in_place
broken 'an empty file' 'it is empty' empty
broken 'another schema' 'run the same version of monitor and viewer' another_schema
# The viewer is no root, so the mode counts.
broken 'a file that may not be read' 'Permission denied' locked
# A viewer that has never seen a good one.
systemctl restart wellkeep-viewer
old 'a file that may never be read' 5 none 'Permission denied'
# Without one the viewer looks for itself, which is another word, and no monitor's. It sees no unit from its sandbox.
at 0 | put
wait_for 'gone: fresh before' 5 is_data fresh
rm "$document"
wait_for 'gone: the viewer looks for itself' 30 is_data live
same 'gone: it cannot tell' "$(get /api/status | jq -r '.services.journal.state')" unknown
same 'gone: health' "$(code /health)" 503
claim 'gone: no badge is green' "$(get /badge/journal.svg)" test -z "$(get /badge/journal.svg | grep -o "$green")"
like 'gone: no monitor stands behind it' "$(get /metrics)" 'wellkeep_monitor_up 0'

systemctl start wellkeep-monitor
well 'in the end'
