# shellcheck shell=bash
# Why a unit does not run decides whether it is started: never against an administrator, in whatever phase of a heal the
# order comes; always after an end that nobody ordered.

# Evidence is saved between the decision and the call, and the journal is a part of it: the moment for an order in between.
# The monitor stands still for as long as the order takes, because it waits 1.5 s for the journal and then goes on.
mv /usr/bin/journalctl /usr/bin/journalctl.real
cat >/usr/bin/journalctl <<'P'
#!/bin/sh
for word; do
    order=/run/${word#--unit=}.order
    if [ -e "$order" ]; then
        kill -STOP $PPID
        mv "$order" "$order.given"
        sh "$order.given"
        kill -CONT $PPID
    fi
done >/dev/null 2>&1
exec journalctl.real "$@"
P
chmod +x /usr/bin/journalctl

active() { systemctl show -P ActiveState "$1.service"; }
is_active() { [ "$(active "$1")" = "$2" ]; }
# before STORY: how often it was started until the order came.
before() { cat "/run/$1.before"; }
# is_left_alone STORY [SECONDS]: for so long, in which the monitor looks at it all the while.
is_left_alone() {
    local until
    sleep "${2-8}"
    until=$(moment)
    wait_for "$1: looked at until the end" 10 was_looked_at "$1" "$until"
}
# stays STORY STATE STARTS [SECONDS]: the unit is left alone from now on.
stays() {
    wait_for "$1: its unit is $2" 10 is_active "$1" "$2"
    started "$1" "$3"
    is_left_alone "$1" "${4-8}"
    claim "$1: its unit stays $2" "$(active "$1")" is_active "$1" "$2"
    started "$1" "$3"
}
# tells STORY PATTERN: the ledger has such a line, soon.
tells() { wait_for "$1: the ledger says $2" 20 has_said "$1" "$2"; }
becomes() { wait_for "$1: $2" 30 is_in "$1" "$2"; }
why() { wellkeep why "$1" --status-file "/run/$1/status.json"; }
# says STORY PATTERN: `why` does, soon: it tells of this moment, in which the bus may be slow.
says() { wait_for "$1: why says $2" 10 why_says "$1" "$2"; }
# shellcheck disable=SC2053 # a glob is wanted
why_says() { [[ $(why "$1") == *$2* ]]; }
# Runs, and serves nobody: the port is closed, so it is down and restarted.
hangs='exec sleep infinity'
# watch_hang STORY [BACKOFF [VERIFY]], watch_unit STORY [BACKOFF]: where an order must come within the pause or within the
# verification, that is long enough for a machine that is slow.
watch_hang() { watch "$1" <<<"services: [{key: $1, systemd: $1, port: 1, heal: {steps: [restart], backoff: ${2-6s}, backoff_max: ${2-6s}, verify_within: ${3-5s}}}]"; }
watch_unit() { watch "$1" <<<"services: [{key: $1, systemd: $1, heal: {steps: [restart], backoff: ${2-6s}}}]"; }

# --- orders while it is up

up_stop() {
    systemctl start up_stop
    watch_unit up_stop
    becomes up_stop up
    systemctl stop up_stop
    becomes up_stop stopped
    tells up_stop '^refuse not restarted: .*an administrator, or a dependency, ordered it'
    stays up_stop inactive 1
    systemctl start up_stop
    becomes up_stop up
    systemctl restart up_stop
    stays up_stop active 3
    becomes up_stop up
    systemctl --quiet mask --now up_stop 2>&1
    becomes up_stop stopped
    says up_stop 'masked: nothing can start it'
    stays up_stop inactive 3
    same 'up_stop: none of this is an incident' "$(said up_stop | grep -c '^heal\|^opened')" 0
}
service up_stop <<<"$hangs"

# --- orders while it is down and waits for the backoff: the first heal did not help

# The pause is 18 s at least, so that the order comes within it; who is left alone for 25 s is left alone after it as well.
backoff() {
    systemctl start "$1"
    watch_unit "$1" 20s
    becomes "$1" up
    touch "/run/$1.dies"
    kill -9 "$(systemctl show -P MainPID "$1")"
    tells "$1" '^heal_failed .* did not help'
    wait_for "$1: its unit failed" 10 is_active "$1" failed
    # One more than before, unless the bus was lost on the way of that order.
    starts "$1" >"/run/$1.before"
}
for name in backoff_stop backoff_mask backoff_reset backoff_restart; do
    service $name <<<"[ -e /run/$name.dies ] && exit 3; exec sleep infinity"
done
backoff_stop() {
    backoff backoff_stop
    systemctl stop backoff_stop
    becomes backoff_stop stopped
    tells backoff_stop '^refuse not restarted: .*order'
    stays backoff_stop failed "$(before backoff_stop)" 25
}
backoff_mask() {
    backoff backoff_mask
    systemctl --quiet mask backoff_mask 2>&1
    tells backoff_mask '^refuse not restarted: .*masked'
    stays backoff_mask failed "$(before backoff_mask)" 25
}
backoff_reset() {
    backoff backoff_reset
    systemctl reset-failed backoff_reset
    becomes backoff_reset stopped
    tells backoff_reset '^refuse not restarted: .*reset'
    stays backoff_reset inactive "$(before backoff_reset)" 25
}
backoff_restart() {
    backoff backoff_restart
    rm /run/backoff_restart.dies
    systemctl restart backoff_restart
    becomes backoff_restart up
    tells backoff_restart '^closed well again without a heal'
    stays backoff_restart active $(($(before backoff_restart) + 1)) 25
    same 'backoff_restart: heals' "$(heals backoff_restart)" 1
}

# --- orders between the decision and the call

# look STORY ORDER...: systemctl does that once the restart is decided. How often it was started until then is in
# /run/STORY.before: where not even a shell begins within 1.5 s the order misses its moment, and comes with the next restart.
look() {
    order "$@"
    systemctl start "$1"
    watch_hang "$1"
}
order() { echo "wc -l </run/$1.starts >/run/$1.before; systemctl ${*:2} $1" >"/run/$1.service.order"; }
# cancels STORY PATTERN: the restart is decided and not made.
cancels() {
    tells "$1" '^heal restart'
    tells "$1" "^cancel the restart was not made: meanwhile $2"
}
for name in look_stop look_restart look_mask; do service $name <<<"$hangs"; done
service look_reset <<<"[ -e /run/look_reset.dies ] && exit 3; exec sleep infinity"
look_stop() {
    look look_stop stop
    cancels look_stop 'its unit went from active to inactive'
    becomes look_stop stopped
    stays look_stop inactive "$(before look_stop)"
}
look_restart() {
    look look_restart restart
    cancels look_restart 'its unit was started anew'
    # By hand alone.
    started look_restart $(($(before look_restart) + 1))
}
look_mask() {
    look look_mask mask
    cancels look_mask 'its unit file became masked'
    tells look_mask '^refuse not restarted: its unit is masked'
    systemctl stop look_mask
    becomes look_mask stopped
    says look_mask masked
    stays look_mask inactive "$(before look_mask)"
}
look_reset() {
    systemctl start look_reset
    watch_unit look_reset
    becomes look_reset up
    order look_reset reset-failed
    touch /run/look_reset.dies
    kill -9 "$(systemctl show -P MainPID look_reset)"
    cancels look_reset 'its unit went from failed to inactive'
    becomes look_reset stopped
    stays look_reset inactive "$(before look_reset)"
}

# --- orders during our restart, whose stop takes until the order was given

# systemd looks again whom it has not told yet, and would end a longer sleep as well.
slow() { echo "trap 'trap \"\" TERM; until [ -e /run/$1.ends ]; do sleep 0.1; done; exit 0' TERM; touch /run/$1.runs; while :; do sleep 0.1; done"; }
# during STORY ORDER...: systemctl does that while it is stopping.
during() {
    systemctl start "$1"
    # What is stopped before its shell has come to its trap ends at once.
    wait_for "$1: it runs" 20 test -e "/run/$1.runs"
    watch_hang "$1" 60s
    tells "$1" '^heal restart'
    wait_for "$1: it is stopping" 10 is_active "$1" deactivating
    systemctl --quiet --no-block "${@:2}" "$1" 2>&1
    touch "/run/$1.ends"
}
for name in restart_stop restart_restart restart_mask; do slow $name | service $name; done
restart_stop() {
    during restart_stop stop
    tells restart_stop '^cancel the restart was not made: another order for restart_stop.service took the place'
    becomes restart_stop stopped
    stays restart_stop inactive 1
}
restart_restart() {
    during restart_restart restart
    # One restart for both orders.
    stays restart_restart active 2
}
restart_mask() {
    during restart_mask mask --now
    tells restart_mask '^cancel the restart was not made: another order'
    becomes restart_mask stopped
    stays restart_mask inactive 1
}

# --- orders while a heal is verified

verify() {
    systemctl start "$1"
    watch_hang "$1" 6s 5m
    tells "$1" '^heal restart'
    wait_for "$1: being verified" 20 verifying "$1"
}
verifying() { [ "$(jq -r --arg key "$1" '.services[$key].heal.phase' "/run/$1/status.json")" = verifying ]; }
for name in verify_stop verify_restart verify_mask; do service $name <<<"$hangs"; done
verify_stop() {
    verify verify_stop
    systemctl stop verify_stop
    tells verify_stop '^heal_failed the restart did not help: it was stopped meanwhile'
    becomes verify_stop stopped
    tells verify_stop '^closed stopped: nothing says that it should run'
    stays verify_stop inactive 2
}
verify_restart() {
    verify verify_restart
    systemctl restart verify_restart
    stays verify_restart active 3
    same 'verify_restart: heals' "$(heals verify_restart)" 1
}
verify_mask() {
    verify verify_mask
    systemctl --quiet mask --now verify_mask 2>&1
    tells verify_mask '^heal_failed the restart did not help: it was stopped meanwhile'
    says verify_mask masked
    stays verify_mask inactive 2
}

# --- ends that nobody ordered

ends() {
    systemctl start "$1"
    watch_unit "$1"
    becomes "$1" up
    if [ "$2" = exit ]; then touch "/run/$1.exits"; else kill "$2" "$(systemctl show -P MainPID "$1")"; fi
    tells "$1" "^opened down: systemd: $3"
    tells "$1" '^healed the restart helped: well again'
    becomes "$1" up
    stays "$1" active 2
}
for name in ends_well ends_by_term ends_by_kill; do
    service $name <<<"until [ -e /run/$name.exits ]; do sleep 0.1; done; rm /run/$name.exits"
done
ends_well() { ends ends_well exit 'it ended, by itself or killed from outside: nobody ordered a stop'; }
ends_by_term() { ends ends_by_term -TERM 'it ended, by itself or killed from outside: nobody ordered a stop'; }
ends_by_kill() { ends ends_by_kill -KILL 'failed: killed by signal 9 (SIGKILL)'; }

# --- stops that go wrong, and stops that are over in no time

fails() {
    systemctl start "$1"
    watch_unit "$1"
    becomes "$1" up
    systemctl stop "$1"
    wait_for "$1: its unit failed" 20 is_active "$1" failed
    becomes "$1" stopped
    tells "$1" '^refuse not restarted: systemd: .*stop'
    says "$1" 'a stop was ordered, so it stays as it is: failed:'
    stays "$1" failed 1
}
# What the Java machine does when it is asked to end.
service fails_143 <<<"trap 'exit 143' TERM; while :; do sleep 0.1; done" SuccessExitStatus=
service fails_timeout TimeoutStopSec=2 <<<"trap '' TERM; while :; do sleep 0.1; done"
fails_143() { fails fails_143; }
fails_timeout() { fails fails_timeout; }

# systemd has nothing to wait for: its job is gone before anybody is told.
at_once() {
    systemctl start at_once.timer
    watch at_once <<<'services: [{key: at_once, systemd: at_once.timer}]'
    becomes at_once up
    systemctl stop at_once.timer
    becomes at_once stopped
    tells at_once '^refuse not restarted: .*order'
    is_left_alone at_once
    same 'at_once: it stays stopped' "$(systemctl is-active at_once.timer)" inactive
    same 'at_once: heals' "$(heals at_once)" 0
}
unit at_once.timer <<<$'[Timer]\nOnActiveSec=1d'
service at_once <<<true
# For longer than its start_grace it would not be starting, but down.
between_restarts() {
    systemctl start between_restarts
    watch between_restarts <<<'services: [{key: between_restarts, systemd: between_restarts, start_grace: 5m, heal: restart}]'
    becomes between_restarts up
    kill -9 "$(systemctl show -P MainPID between_restarts)"
    becomes between_restarts starting
    systemctl stop between_restarts
    becomes between_restarts stopped
    tells between_restarts '^refuse not restarted: .*order'
    stays between_restarts inactive 1
}
service between_restarts Restart=always RestartSec=300 <<<"$hangs"

# --- what nobody watched

unwatched() {
    systemctl start unwatched
    watch_unit unwatched
    becomes unwatched up
    unwatch unwatched
    systemctl stop unwatched
    rewatch unwatched
    becomes unwatched stopped
    tells unwatched '^refuse not restarted: .*nobody watched'
    says unwatched 'nobody watched'
    stays unwatched inactive 1
}
service unwatched <<<"$hangs"
# Seen to end, and then the monitor was killed: the new one believes the old one, as systemd still knows that it is the
# same end. Units that nothing refers to it forgets.
remembered() {
    systemctl start remembered
    watch_unit remembered 20s
    becomes remembered up
    touch /run/remembered.dies
    kill -TERM "$(systemctl show -P MainPID remembered)"
    tells remembered '^wait not restarted: a pause'
    becomes remembered down
    wait_for 'remembered: the end is on record' 10 is_recorded
    unwatch remembered
    rm /run/remembered.dies
    rewatch remembered
    tells remembered '^healed'
    becomes remembered up
}
is_recorded() { jq -e '.memory.services.remembered | .end.ordered == false and .end.since and .pause_ms > 0' /run/remembered/state.json >/dev/null; }
service remembered $'[Install]\nWantedBy=multi-user.target' <<<'[ -e /run/remembered.dies ] && exit 0; exec sleep infinity'

# --- findings about the configuration

fixed() {
    systemctl --quiet mask masked 2>&1
    systemctl start unmet
    watch fixed <<<'services: [{key: disabled, systemd: disabled}, {key: unmet, systemd: unmet}, {key: masked, systemd: masked}, {key: missing, systemd: missing}]'
    local key
    for key in disabled:'inactive and disabled' unmet:'a Condition...= of the unit is not met' masked:'masked: nothing can start it' \
        missing:'its unit does not exist'; do
        wait_for "fixed: ${key%%:*}, ${key#*:}" 20 has_said fixed "^refuse not restarted: .*${key#*:}" "${key%%:*}"
    done
    sleep 8
    same 'fixed: heals' "$(grep -c '"heal"' /run/fixed/ledger.jsonl)" 0
    same 'fixed: starts' "$(starts disabled) $(starts unmet)" '0 0'
}
service disabled $'[Install]\nWantedBy=multi-user.target' <<<"$hangs"
service masked <<<"$hangs"
service unmet $'[Unit]\nConditionPathExists=/nowhere\n[Install]\nWantedBy=multi-user.target' <<<"$hangs"

systemctl daemon-reload
systemctl --quiet enable remembered unmet
side_by_side up_stop backoff_{stop,mask,reset,restart} look_{stop,restart,mask,reset} restart_{stop,restart,mask} \
    verify_{stop,restart,mask} ends_{well,by_term,by_kill} fails_{143,timeout} at_once between_restarts unwatched remembered fixed
