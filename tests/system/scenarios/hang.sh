# shellcheck shell=bash
# Three services that run, as systemd sees it, and do not work: stopped with SIGSTOP, a handler that sleeps, answers of
# 500. Each is found, restarted, and proved well again; what the restart destroys is kept.

install_web
for service in stopped:8001 sleeper:8002 errors:8003; do
    unit "${service%:*}.service" <<U
[Service]
ExecStart=web ${service#*:}
Environment=API_TOKEN=swordfish
U
done
systemctl daemon-reload
systemctl start stopped sleeper errors
# The first with the timing that it has by itself, for the figures.
monitor hang <<'Y'
services:
  - {key: stopped, url: "http://127.0.0.1:8001/", systemd: stopped, heal: restart}
  - {key: sleeper, url: "http://127.0.0.1:8002/", systemd: sleeper, heal: restart, interval: 1s, retry_interval: 1s,
     timeout: 1s, start_grace: 2s}
  - {key: errors, url: "http://127.0.0.1:8003/", port: 8003, systemd: errors, heal: restart, interval: 1s,
     retry_interval: 1s, timeout: 1s, start_grace: 2s}
Y
# shellcheck disable=SC2034 # for wait_for
hint='recap hang'
for key in stopped sleeper errors; do
    declare "first_$key=$(run_of $key)"
    wait_for "$key is up" 30 is_state hang $key up
done
incidents() { echo /var/lib/wellkeep/hang/incidents/*"-$1"; }

# healed KEY: it was down, restarted once, verified, and is another run of its unit.
healed() {
    local before=first_$1 folder evidence incident
    wait_for "$1 is found well again" 60 has hang "$1" healed
    wait_for "$1 is up again" 10 is_state hang "$1" up
    wait_for "$1: its incident is over" 10 times 1 hang "$1" closed
    claim "$1 is another run" "${!before}" test "$(run_of "$1")" != "${!before}"
    claim "$1 was restarted once" "$(ledger hang "$1")" times 1 hang "$1" heal
    claim "$1: systemd restarted nothing by itself" '' test "$(systemctl show -P NRestarts "$1")" = 0
    like "$1: the ledger tells the story in order" "$(ledger hang "$1" | tr '\n' ' ')" \
        'opened: down: *heal: restart (1 of 5 within an hour): *healed: the restart helped: *closed: well again by heal 1 (restart)'
    like "$1: why tells what was done" "$(why hang "$1")" 'restart'
    folder=$(incidents "$1")
    evidence=$(cat "$folder/evidence-1.txt")
    like "$1: the evidence has the journal" "$evidence" "== the journal*$2"
    like "$1: the evidence has the processes" "$evidence" "== processes ==*web*$3"
    like "$1: the evidence has the run that was ended" "$evidence" "InvocationID: ${!before}"
    claim "$1: the evidence has no secrets" "$evidence" test "${evidence/swordfish/}" = "$evidence"
    claim "$1: not everybody may read the evidence" '' test "$(stat -c %a "$folder/evidence-1.txt")" = 640
    incident=$(wellkeep history "$1" --status-file /var/lib/wellkeep/hang/status.json)
    like "$1: history has the incident" "$incident" 'restart'
}

web 8002 hang
hung_at=$(date +%s%3N)
systemctl kill --kill-whom=main --signal=STOP stopped
healed sleeper 'from now on: hang' 'sleeping'
web 8003 500
healed errors 'from now on: 500' ''
like 'the errors are the cause' "$(ledger hang errors opened)" '500'
healed stopped 'Started' 'stopped'
claim 'nothing else was healed' "$(jq -c . /var/lib/wellkeep/hang/ledger.jsonl)" \
    test "$(jq -r 'select(.decision == "heal").service' /var/lib/wellkeep/hang/ledger.jsonl | sort | tr '\n' ' ')" = 'errors sleeper stopped '

# millis FIELD: a time of the incident of `stopped`, in milliseconds after the fault.
millis() { echo $(($(date -d "$(jq -r ".$1" "$(incidents stopped)/incident.json")" +%s%3N) - hung_at)); }
detected=$(millis detected) ended=$(millis ended)
# 23 s by the timing, as the tests of the engine have it; what a busy machine adds is its own.
claim 'a hang is found within 23 s' "$detected ms" test "$detected" -le $((23000 + 30000))
echo "figure hang, default timing: down after $detected ms, proved well again after $ended ms"

# On a machine that starves a late answer is no fault of the service. A 500 is an answer, and a wrong one.
pressure 95
web 8002 hang
web 8003 500
wait_for 'answers of 500 are healed on a machine that starves' 60 times 2 hang errors healed
wait_for 'a hang waits there' 60 has hang sleeper wait 'the CPU is overloaded'
claim 'it is not restarted meanwhile' "$(ledger hang sleeper)" times 1 hang sleeper heal
calm
wait_for 'it is healed when the machine has time again' 60 times 2 hang sleeper healed
