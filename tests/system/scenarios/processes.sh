# shellcheck shell=bash
# Process checks by root, by another user, and where other users' processes are hidden.

unit worker.service <<'U'
[Service]
Type=exec
ExecStart=python3 -c 'import signal; signal.pause()' --marked-worker
U
systemctl daemon-reload
systemctl start worker.service
configure 'process_match: --marked-worker' >/run/there.yml
configure 'process_match: --marked-nobody' >/run/missing.yml

# as_root FILE: the answer for the one check in it.
# shellcheck disable=SC2154 # of lib.sh
as_root() { wellkeep probe --json --config "/run/$1.yml" | jq -r "$rows"; }

# as_nobody OPTION... FILE: the same for the user nobody, under these settings of a unit.
as_nobody() {
    local file=${!#}
    systemd-run --quiet --wait --pipe --collect -p User=nobody "${@:1:$#-1}" \
        wellkeep probe --json --config "/run/$file.yml" | jq -r "$rows"
}

check 'root sees it' "$(as_root there)" pass '"count":1'
check 'root misses what is missing' "$(as_root missing)" ordinary 'no process matches "--marked-nobody"'
check 'another user sees it too' "$(as_nobody there)" pass '"count":1'
check 'another user misses what is missing' "$(as_nobody missing)" ordinary 'no process matches'
hidden=$(as_nobody -p ProtectProc=invisible there)
check 'hidden by ProtectProc=invisible' "$hidden" unknown "other users' processes are hidden"
hidden=$(as_nobody -p ProtectProc=noaccess there)
check 'hidden by ProtectProc=noaccess' "$hidden" unknown "other users' processes are hidden"
seen=$(as_nobody -p ProtectProc=invisible -p AmbientCapabilities=CAP_SYS_PTRACE there)
check 'the cure works' "$seen" pass '"count":1'

# Who listens, by name, for root: dev watches it, and a taken port names who has it.
unit listens.socket <<'U'
[Socket]
ListenStream=127.0.0.1:7777
U
unit listens.service <<'U'
[Service]
ExecStart=sleep infinity
U
systemctl daemon-reload
systemctl start listens.socket
like 'a taken port names its owner' "$(wellkeep serve --listen 127.0.0.1:7777 2>&1)" 'systemd (pid 1)'
wellkeep dev --listen 127.0.0.1:0 --status-file /run/dev/status.json >/run/dev.log 2>&1 &
dev=$!
wait_for 'dev writes its document' 10 test -s /run/dev/status.json
names=$(jq -r '.services[] | select(.group == "Listeners") | .name' /run/dev/status.json)
like 'dev watches the listener' "$names" 'systemd on port 7777'
kill "$dev"
