# shellcheck shell=bash
# Processes that die where systemd restarts nothing (no Restart=): out of memory, and killed from outside. They are
# healed, and people are told what they died of.

install_web
unit leaking.service <<'U'
[Service]
ExecStart=web 8001
# These containers have no memory controller, so no MemoryMax=: the process is refused memory and gives up.
LimitAS=300M
U
unit killed.service <<'U'
[Service]
ExecStart=web 8002
U
systemctl daemon-reload
systemctl start leaking killed
monitor leak <<'Y'
defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s, heal: restart}
services:
  - {key: leaking, url: "http://127.0.0.1:8001/", systemd: leaking}
  - {key: killed, url: "http://127.0.0.1:8002/", systemd: killed}
Y
# shellcheck disable=SC2034 # for wait_for
hint='recap leak'

# dies KEY CAUSE EVIDENCE COMMAND...: after the command it is dead, healed by a start, and the cause is told.
dies() {
    local key=$1 cause=$2 seen=$3 first evidence
    wait_for "$key is up" 30 is_state leak "$key" up
    first=$(run_of "$key")
    "${@:4}"
    wait_for "$key is found well again" 30 has leak "$key" healed
    wait_for "$key: its incident is over" 10 times 1 leak "$key" closed
    claim "$key is another run" "$first" test "$(run_of "$key")" != "$first"
    claim "$key was healed once" "$(ledger leak "$key")" times 1 leak "$key" heal
    claim "$key: systemd restarted nothing by itself" '' test "$(systemctl show -P NRestarts "$key")" = 0
    like "$key: the cause is told when it is found" "$(ledger leak "$key" opened)" "$cause"
    like "$key: the cause is told afterwards" "$(why leak "$key")" "$cause"
    evidence=$(cat /var/lib/wellkeep/leak/incidents/*"-$key/evidence-1.txt")
    like "$key: the evidence has the journal" "$evidence" "== the journal*$seen"
    like "$key: the evidence has the unit" "$evidence" "ActiveState: failed"
}

dies leaking 'exited with status 1' MemoryError web 8001 leak
dies killed SIGKILL 'status=9/KILL' systemctl kill --kill-whom=main --signal=KILL killed

if ! grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    echo 'skipped, because there is no memory controller in this container: a unit beyond its MemoryMax='
fi
