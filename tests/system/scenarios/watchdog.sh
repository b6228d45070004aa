# shellcheck shell=bash disable=SC2317
# A monitor that hangs is killed by systemd and started anew, by the limit that is shipped: one that does not go round any
# more, and one whose writes do not end. A disk that says that it is full is no reason. Three monitors side by side.

shown() { systemctl show -P "$2" "wellkeep-$1"; }
log() { journalctl --sync; journalctl --no-pager -o cat -u "wellkeep-$1"; }
value() { jq -r "$2" "/var/lib/wellkeep/$1/status.json" 2>/dev/null; }
holds() { value "$1" "$2" | grep -qx true; }
logged() { log "$1" | grep -q "$2"; }
is_another() { [ "$(shown "$1" MainPID)" != "$2" ] && [ "$(shown "$1" MainPID)" != 0 ]; }
# is_fresh NAME: this monitor, and no other before it, wrote the document, and just now.
is_fresh() {
    [ "$(value "$1" .monitor.pid)" = "$(shown "$1" MainPID)" ] &&
        holds "$1" '(now - (.generated_at | sub("\\.[0-9]+"; "") | fromdate)) < 10'
}
# saved NAME: how many failures in a row its memory knows of.
saved() { jq '[.. | .failures? // empty] | max // 0' "/var/lib/wellkeep/$1/state.json"; }
# counts NAME AT_LEAST
counts() { [ "$(saved "$1")" -ge "$2" ]; }

# begin NAME: a monitor with something that fails all the time, and a disk of its own.
begin() {
    mkdir -p "/var/lib/wellkeep/$1"
    mount -t tmpfs -o size=1M tmpfs "/var/lib/wellkeep/$1" || bad 'a disk'
    monitor "$1" <<'Y'
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, start_grace: 1s}
services: [{key: web, port: 9, failure_threshold: 100}]
Y
    like "the limit of $1 is what is shipped" "$(shown "$1" WatchdogUSec)" 30s
    wait_for "$1: failures are counted and saved" 60 counts "$1" 3
    pid=$(shown "$1" MainPID)
}

stopped() {
    local began counted
    begin stopped
    counted=$(saved stopped)
    began=$SECONDS
    # 0 would be all of ours.
    [ "$pid" -gt 0 ] && kill -STOP "$pid"
    wait_for 'systemd starts another monitor' 90 is_another stopped "$pid"
    echo "figure watchdog: $((SECONDS - began)) s from SIGSTOP to the next monitor"
    claim 'because of the limit' "$(log stopped)" logged stopped 'Watchdog timeout (limit 30s)!'
    wait_for 'the document is fresh' 30 is_fresh stopped
    claim "the failures go on from $counted" "$(value stopped .services.web.consecutive_failures)" \
        holds stopped ".services.web.consecutive_failures >= $counted"
}

full() {
    begin full
    dd if=/dev/zero of=/var/lib/wellkeep/full/filler bs=4k 2>/dev/null
    wait_for 'a full disk is told' 30 logged full 'status.json: No space left'
    # Longer than the limit.
    sleep 40
    like 'a full disk is no reason to be killed' "$(shown full MainPID)" "$pid"
    rm /var/lib/wellkeep/full/filler
    wait_for 'the document is fresh again' 30 is_fresh full
}

# Whoever opens a file of this disk waits until somebody permits it (fanotify), and nobody does as long as this runs.
cat >/opt/freeze.py <<'P'
import ctypes, os, signal, sys
FAN_CLASS_CONTENT, FAN_MARK_ADD_FILESYSTEM, FAN_OPEN_PERM, AT_FDCWD = 4, 0x1 | 0x100, 0x10000, -100
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.fanotify_init(FAN_CLASS_CONTENT, 0)
if libc.fanotify_mark(watch, FAN_MARK_ADD_FILESYSTEM, ctypes.c_uint64(FAN_OPEN_PERM), AT_FDCWD, sys.argv[1].encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
signal.pause()
P

hung() {
    local began freezing
    begin hung
    python3 /opt/freeze.py /var/lib/wellkeep/hung &
    freezing=$!
    began=$SECONDS
    # Nothing below that folder can be looked at now.
    wait_for 'a write that hangs is told' 60 logged hung 'status.json has hung for'
    wait_for 'and a reason to be killed' 90 logged hung 'Watchdog timeout (limit 30s)!'
    echo "figure watchdog: $((SECONDS - began)) s from a disk that hangs to the kill"
    kill "$freezing"
    wait_for 'once the disk is back there is another monitor' 60 is_another hung "$pid"
    wait_for 'the document is fresh' 60 is_fresh hung
}

systemd-sysusers
calm
stories=(stopped full hung)
for story in "${stories[@]}"; do
    ("$story") >"/run/$story.said" 2>&1 &
done
wait
for story in "${stories[@]}"; do
    cat "/run/$story.said"
    failures=$((failures + $(grep -c '^NOT OK' "/run/$story.said" || :)))
done
