# shellcheck shell=bash
# What does not help is followed by the next step, and at the end of it by a person: never by more of the same. And what
# only observes does everything but the call.

install_web
# A hook is run in the sandbox of the monitor: the faults that it cures are in the folder that it may write.
faults=/var/lib/wellkeep/ladder
for service in climb:8001 badstart:8002 stuck:8003 observed:8004 watched:8005 option:8006; do
    unit "${service%:*}.service" <<U
[Service]
Environment=BROKEN=$faults/${service%:*}
ExecStartPre=test ! -e /run/nostart-${service%:*}
ExecStart=web ${service#*:}
ExecReload=sh -c 'echo >>/run/reloads-${service%:*}'
U
done
install -m 755 /dev/stdin /usr/local/bin/mend <<'S'
#!/bin/sh
echo "arguments: $# ($1) ($2)"
env | sort
rm -- "$1"
S
# With a child that outlives it unless that is killed as well.
install -m 755 /dev/stdin /usr/local/bin/stuck <<'S'
#!/bin/sh
echo 'first words'
sleep 4711 &
echo 'last words'
wait
S
systemctl daemon-reload
units=(climb badstart stuck observed watched option)
systemctl start "${units[@]}"

common='interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s'
monitor ladder <<Y
defaults: {$common}
services:
  - key: climb
    url: http://127.0.0.1:8001/
    systemd: climb
    heal:
      steps: [reload, restart, {run: [/usr/local/bin/mend, $faults/climb, 'two words; \$\$(touch /run/owned)']}]
      backoff: 1s
      verify_within: 5s
  - {key: badstart, url: "http://127.0.0.1:8002/", systemd: badstart, heal: {backoff: 20s}}
Y
monitor end <<Y
defaults: {$common}
services:
  - key: stuck
    url: http://127.0.0.1:8003/
    systemd: stuck
    heal: {steps: [{run: [/usr/local/bin/stuck], timeout: 5s}], backoff: 1s, budget: 2}
  - {key: observed, url: "http://127.0.0.1:8004/", systemd: observed, heal: {mode: observe, backoff: 1s, budget: 2}}
Y
monitor watch <<Y
defaults: {$common, heal: restart}
monitor: {observe: true}
services: [{key: watched, url: "http://127.0.0.1:8005/", systemd: watched}]
Y
monitor option --observe <<Y
defaults: {$common, heal: restart}
services: [{key: option, url: "http://127.0.0.1:8006/", systemd: option}]
Y
of() { case $1 in climb | badstart) echo ladder ;; stuck | observed) echo end ;; watched) echo watch ;; *) echo option ;; esac; }
recap_all() { local name; for name in ladder end watch option; do recap $name; done; }
# shellcheck disable=SC2034 # for wait_for
hint=recap_all
declare -A first
for key in "${units[@]}"; do
    first[$key]=$(run_of "$key")
    wait_for "$key is up" 30 is_state "$(of "$key")" "$key" up
done
touch /run/nostart-badstart
for key in "${units[@]}"; do touch "$faults/$key"; done

# Reload, restart, hook.
wait_for 'the hook is reached and helps' 60 has ladder climb healed 'mend helped'
like 'each step had its turn, and only one' "$(ledger ladder climb | tr '\n' ' ')" \
    'opened: *heal: reload (1 of 5*heal_failed: the reload did not help: *heal: restart (2 of 5*heal_failed: the restart did not help: *heal: run /usr/local/bin/mend (3 of 5*healed: /usr/local/bin/mend helped*closed: well again by heal 3'
claim 'it was reloaded once' "$(cat /run/reloads-climb)" test "$(wc -l </run/reloads-climb)" = 1
claim 'it was restarted' '' test "$(run_of climb)" != "${first[climb]}"
claim 'three heals' "$(ledger ladder climb)" times 3 ladder climb heal
folder=$(echo /var/lib/wellkeep/ladder/incidents/*-climb)
claim 'evidence for each' "$(ls "$folder")" test -s "$folder/evidence-1.txt" -a -s "$folder/evidence-2.txt" -a -s "$folder/evidence-3.txt"
output=$(cat "$folder/hook-3.txt")
like 'a hook gets its arguments as they are' "$output" "arguments: 2 ($faults/climb) (two words; \$(touch /run/owned))"
claim 'and no shell reads them' '' test ! -e /run/owned
like 'a hook knows what it is for' "$output" 'WELLKEEP_ATTEMPT=3*WELLKEEP_INCIDENT=*climb*WELLKEEP_REASON=http: status 500*WELLKEEP_SERVICE=climb'
claim 'a hook does not inherit the environment' "$output" test "${output/WELLKEEP_STATUS_FILE/}" = "$output"
like 'the end of the hook is kept' "$output" 'it exited with status 0'

# The restart stops it, and it does not start: told as what it is, and tried again with a start.
wait_for 'a start that fails is told' 30 has ladder badstart heal_failed 'of badstart.service failed'
same 'it does not run' "$(systemctl is-active badstart)" failed
like 'why says so' "$(why ladder badstart)" 'of badstart.service failed'
rm -f /run/nostart-badstart $faults/badstart
wait_for 'the next heal starts it' 40 has ladder badstart healed
wait_for 'it is up' 10 is_state ladder badstart up
claim 'it runs' '' systemctl is-active --quiet badstart

# A hook that hangs, twice: then a person is told, once, and nothing is done any more.
wait_for 'the budget is used up' 60 has end stuck notice
claim 'two heals' "$(ledger end stuck)" times 2 end stuck heal
claim 'neither helped' "$(ledger end stuck)" times 2 end stuck heal_failed
like 'a hook is killed at its timeout' "$(ledger end stuck heal_failed)" 'took longer than 5s and was killed: last words'
claim 'with all that it started' "$(pgrep -af 4711)" test -z "$(pgrep -f 'sleep 4711')"
folder=$(echo /var/lib/wellkeep/end/incidents/*-stuck)
like 'what a killed hook wrote is kept' "$(cat "$folder/hook-1.txt")" 'was killed*first words*last words'

# Everything but the call.
wait_for 'what would have been done is told' 30 times 2 end observed would_heal
wait_for 'what is observed comes to its end, too' 30 has end observed notice
wait_for 'monitor.observe observes' 10 has watch watched would_heal 'would restart'
wait_for '--observe observes' 10 has option option would_heal 'would restart'
for key in observed watched option; do
    claim "$key was never restarted" '' is_run $key "${first[$key]}"
    claim "$key was never reloaded" '' test ! -e /run/reloads-$key
    claim "$key: no heal" "$(ledger "$(of $key)" $key)" times 0 "$(of $key)" $key heal
    claim "$key: no heal that helped, or did not" "$(ledger "$(of $key)" $key)" times 0 "$(of $key)" $key 'heale?d?'
    claim "$key: evidence as for a heal" '' test -s /var/lib/wellkeep/"$(of $key)"/incidents/*-$key/evidence-1.txt
    like "$key: why tells that it is only observed" "$(why "$(of $key)" $key)" 'would'
done

# Some rounds later nothing has changed.
sleep 8
for key in stuck observed; do
    claim "$key: one notice" "$(ledger end $key)" times 1 end $key notice
    like "$key: the notice says what comes next" "$(ledger end $key notice)" 'its budget of 2 heals an hour is used up; one trial an hour'
    like "$key: why says so" "$(why end $key)" 'used up'
done
claim 'still two heals' "$(ledger end stuck)" times 2 end stuck heal
claim 'it was never restarted: nobody asked for that' '' is_run stuck "${first[stuck]}"
