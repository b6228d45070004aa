# shellcheck shell=bash
# Crashes, with and without systemd's own Restart=: its restarts are never fought and never doubled, and what it gives up is
# healed within our own budget.

main_pid() { systemctl show -P MainPID "$1"; }
is_active() { [ "$(systemctl show -P ActiveState "$1")" = "$2" ]; }
tells() { wait_for "$1: the ledger says $2" "${3-30}" has_said "$1" "$2"; }
becomes() { wait_for "$1: $2" "${3-30}" is_in "$1" "$2"; }
# begin STORY [GRACE [BACKOFF]]
begin() {
    systemctl start "$1"
    watch "$1" <<<"services: [{key: $1, systemd: $1, start_grace: ${2-2s}, heal: {steps: [restart], backoff: ${3-2s}, backoff_max: ${3-4s}, budget: 3}}]"
    becomes "$1" up
}

# systemd restarts it by itself, at once or after a while: that is all that happens.
by_systemd() {
    begin "$1"
    kill -9 "$(main_pid "$1")"
    started "$1" 2
    becomes "$1" up
    sleep 5
    same "$1: starts, by systemd alone" "$(starts "$1")" 2
    same "$1: starts that systemd counts as its own" "$(systemctl show -P NRestarts "$1")" 1
    same "$1: heals" "$(heals "$1")" 0
    becomes "$1" up
}
service restart_at_once Restart=on-failure <<<'exec sleep infinity'
service restart_later Restart=on-failure RestartSec=8 <<<'exec sleep infinity'
restart_at_once() { by_systemd restart_at_once; }
restart_later() { by_systemd restart_later; }

# Nobody else would.
no_restart() {
    begin no_restart
    kill -SEGV "$(main_pid no_restart)"
    tells no_restart '^opened down: systemd: failed: '
    tells no_restart '^heal restart (1 of 3 within an hour): systemd: failed: '
    tells no_restart '^healed the restart helped: well again'
    tells no_restart '^closed well again by heal 1 (restart)'
    becomes no_restart up
    sleep 5
    started no_restart 2
    same 'no_restart: heals' "$(heals no_restart)" 1
}
service no_restart <<<'exec sleep infinity'

# Crashed while no monitor was there: that it failed is on record with systemd, and nobody stops a unit that way.
unwatched_crash() {
    begin unwatched_crash
    unwatch unwatched_crash
    kill -9 "$(main_pid unwatched_crash)"
    wait_for 'unwatched_crash: its unit failed' 10 is_active unwatched_crash failed
    rewatch unwatched_crash
    tells unwatched_crash '^healed'
    started unwatched_crash 2
}
service unwatched_crash <<<'exec sleep infinity'

# It dies again and again, and systemd starts it again and again: red, and not one start more than systemd's.
# With a grace that is longer than a turn of the loop on any machine: before that a start is no failure, and unstable is
# all that it is.
loop() {
    begin loop 1m
    touch /run/loop.dies
    kill -9 "$(main_pid loop)"
    becomes loop unstable 60
    wait_for 'loop: the loop goes on' 30 has_started loop 12
    becomes loop unstable
    like 'loop: an incident' "$(said loop)" 'opened unstable: restarted '
    like 'loop: why' "$(wellkeep why loop --status-file /run/loop/status.json)" 'times within the last hour'
    rm /run/loop.dies
    wait_for 'loop: it runs' 10 is_at_its_work loop
    sleep 4
    same 'loop: starts, and not one is ours' "$(starts loop)" $(($(systemctl show -P NRestarts loop) + 1))
    # For the hour.
    becomes loop unstable
    same 'loop: heals' "$(heals loop)" 0
}
is_at_its_work() { [ "$(cat "/proc/$(main_pid "$1")/comm")" = sleep ]; }
service loop Restart=always RestartSec=1 $'[Unit]\nStartLimitIntervalSec=0' <<<'[ -e /run/loop.dies ] && { sleep 0.3; exit 1; }; exec sleep infinity'

# The same until systemd gives up: from then on it is ours, within the budget and no further.
limit() {
    begin limit
    touch /run/limit.dies
    kill -9 "$(main_pid limit)"
    tells limit '^opened ' 60
    tells limit '^heal restart (1 of 3' 60
    tells limit '^heal restart (3 of 3' 120
    tells limit '^notice not restarted: its budget of 3 heals an hour is used up; one trial an hour' 60
    local starts
    starts=$(starts limit)
    sleep 10
    same 'limit: heals' "$(heals limit)" 3
    claim 'limit: nothing is started any more' "$(starts limit) after $starts" [ "$(starts limit)" = "$starts" ]
    # Each of the four rounds is at most StartLimitBurst starts.
    claim 'limit: no more starts than systemd allows' "$starts" [ "$starts" -le 16 ]
    is_active limit failed || bad 'limit: its unit has failed' "$(all_of limit)"
}
service limit Restart=always RestartSec=100ms $'[Unit]\nStartLimitIntervalSec=30\nStartLimitBurst=4' <<<'[ -e /run/limit.dies ] && exit 1; exec sleep infinity'
# What it had is back before the budget is used up.
limit_mended() {
    begin limit_mended 2s 20s
    touch /run/limit_mended.dies
    kill -9 "$(main_pid limit_mended)"
    tells limit_mended '^heal_failed' 60
    rm /run/limit_mended.dies
    tells limit_mended '^healed the restart helped' 60
    sleep 3
    same 'limit_mended: its unit runs' "$(systemctl is-active limit_mended)" active
    claim 'limit_mended: healed within the budget' "$(all_of limit_mended)" [ "$(heals limit_mended)" -le 3 ]
}
service limit_mended Restart=always RestartSec=100ms $'[Unit]\nStartLimitIntervalSec=30\nStartLimitBurst=4' <<<'[ -e /run/limit_mended.dies ] && exit 1; exec sleep infinity'

systemctl daemon-reload
side_by_side restart_at_once restart_later no_restart unwatched_crash loop limit limit_mended
