# shellcheck shell=bash
# What takes its time is not hurried: slow starts are left alone, a slow stop is waited for, and systemd's own limit of
# starts is kept.

install_web
# Told apart by what systemd knows: of the first it knows that it is starting, of the second it does not.
unit announced.service <<'U'
[Service]
Type=notify
NotifyAccess=all
ExecStart=sh -c 'sleep 45; web 8001 & sleep 1; systemd-notify --ready; wait'
U
unit late.service <<'U'
[Service]
ExecStart=sh -c 'sleep 45; exec web 8002'
U
unit stubborn.service <<'U'
[Service]
ExecStart=sh -c 'trap "" TERM; exec env --ignore-signal=TERM web 8003'
TimeoutStopSec=5s
U
unit limited.service <<'U'
[Unit]
StartLimitBurst=2
StartLimitIntervalSec=90
[Service]
ExecStart=web 8004
U
systemctl daemon-reload
systemctl start --no-block announced late stubborn
defaults='defaults: {interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, start_grace: 2s, heal: {backoff: 1s}}'
monitor slow <<Y
$defaults
services:
  - {key: announced, url: "http://127.0.0.1:8001/", systemd: announced, start_grace: 60s, heal: restart}
  - {key: impatient, systemd: announced, heal: restart}
  - {key: late, url: "http://127.0.0.1:8002/", systemd: late, start_grace: 60s, heal: restart}
Y
monitor kept <<Y
$defaults
services:
  - {key: stubborn, url: "http://127.0.0.1:8003/", systemd: stubborn, heal: restart}
  - {key: limited, url: "http://127.0.0.1:8004/", systemd: limited, heal: restart}
Y
# This one was started a moment before its monitor, which did not see it. (Not before `daemon-reload`, at which systemd
# forgets what it counted.)
systemctl stop wellkeep-kept
systemctl start limited
limited_at=$SECONDS
systemctl start wellkeep-kept
recap_all() { recap slow; recap kept; }
# shellcheck disable=SC2034 # for wait_for
hint=recap_all
for key in announced late; do until_state $key activating/start active/running; done
# shellcheck disable=SC2034 # by their names below
first_announced=$(run_of announced) first_late=$(run_of late)
# Every state that they are believed to be in until the end.
while sleep 0.2; do for key in announced late; do echo "$key $(state slow $key)"; done; done >/run/states &
watcher=$!

# A stop that ignores SIGTERM takes until systemd kills: that is part of the restart, and no reason for another.
wait_for 'stubborn is up' 30 is_state kept stubborn up
wait_for 'limited is up' 30 is_state kept limited up
first_stubborn=$(run_of stubborn) first_limited=$(run_of limited)
web 8003 500
web 8004 500
until_state stubborn deactivating/stop-sigterm
like 'what is going on is told while the stop hangs' "$(why kept stubborn)" 'estarting now'
wait_for 'the one that stops slowly is found well again' 30 has kept stubborn healed
claim 'it was restarted once' "$(ledger kept stubborn)" times 1 kept stubborn heal
claim 'no heal of it failed' "$(ledger kept stubborn)" times 0 kept stubborn heal_failed
claim 'it is another run' "$first_stubborn" test "$(run_of stubborn)" != "$first_stubborn"
like 'the journal has the kill' "$(journalctl -u stubborn)" 'stop-sigterm* timed out. Killing'

# The first start and the first heal are two starts. systemd would refuse a third one and leave a stopped unit behind.
wait_for 'limited is found well again' 20 has kept limited healed
second_limited=$(run_of limited)
claim 'limited is another run' "$first_limited" test "$second_limited" != "$first_limited"
web 8004 500
wait_for 'the limit is respected' 20 has kept limited wait 'StartLimitBurst='
claim 'the limit is respected in time' "$((SECONDS - limited_at)) s" test $((SECONDS - limited_at)) -lt 88
like 'why says so' "$(why kept limited)" 'StartLimitBurst='
claim 'it still runs, ill as it is' "$(systemctl status limited)" test "$(run_of limited)" = "$second_limited"
claim 'one heal so far' "$(ledger kept limited)" times 1 kept limited heal
wait_for 'it is healed as soon as the limit allows' 90 times 2 kept limited healed
claim 'not sooner than the limit allows' "$((SECONDS - limited_at)) s" test $((SECONDS - limited_at)) -ge 88
claim 'two heals in all' "$(ledger kept limited)" times 2 kept limited heal
claim 'no heal of it failed' "$(ledger kept limited)" times 0 kept limited heal_failed
claim 'the line about the limit stands once' "$(ledger kept limited)" times 1 kept limited wait
claim 'it never hit the limit' '' test "$(journalctl -u limited | grep -c 'start-limit-hit\|repeated too quickly')" = 0

# Longer than start_grace is too long, and even then it is not restarted: systemd is at work on it.
wait_for 'a start that takes longer than its grace is told' 10 has slow impatient opened 'for longer than start_grace 2s'
like 'and left to systemd' "$(ledger slow impatient wait)" 'systemd has a start job for its unit'
for key in announced late; do
    wait_for "$key is up" 40 is_state slow $key up
    first=first_$key
    claim "$key was never restarted" "${!first}" is_run $key "${!first}"
    claim "$key: nothing was decided, because nothing was wrong" "$(ledger slow $key)" test -z "$(ledger slow $key)"
done
kill $watcher
like 'announced was seen starting' "$(sort -u /run/states | tr '\n' ' ')" 'announced starting '
like 'late was seen starting' "$(sort -u /run/states | tr '\n' ' ')" 'late starting '
claim 'neither was ever believed to be down' "$(sort /run/states | uniq -c)" \
    test "$(sort -u /run/states | grep -c ' \(down\|unstable\|blocked\)$')" = 0
claim 'the impatient one was not restarted either' "$(ledger slow impatient)" times 0 slow impatient heal
