# shellcheck shell=bash
# Why a unit does not run decides whether it is started: never against an administrator, in whatever phase of a heal the
# order comes; always after an end that nobody ordered.

# Evidence is saved between the decision and the call, and the journal is a part of it: the moment for an order in between.
mv /usr/bin/journalctl /usr/bin/journalctl.real
cat >/usr/bin/journalctl <<'P'
#!/bin/sh
for word; do order=/run/${word#--unit=}.order; if [ -e "$order" ]; then sh "$order" && rm "$order"; fi; done >/dev/null 2>&1
exec journalctl.real "$@"
P
chmod +x /usr/bin/journalctl

active() { systemctl show -P ActiveState "$1.service"; }
is_active() { [ "$(active "$1")" = "$2" ]; }
# stays STORY STATE STARTS: the unit is left alone from now on.
stays() {
    sleep 8
    claim "$1: its unit stays $2" "$(active "$1")" is_active "$1" "$2"
    claim "$1: started $3 times" "$(starts "$1"); $(all_of "$1")" [ "$(starts "$1")" = "$3" ]
}
# tells STORY PATTERN: the ledger has such a line, soon.
tells() { wait_for "$1: the ledger says $2" 20 has_said "$1" "$2"; }
becomes() { wait_for "$1: $2" 30 is_in "$1" "$2"; }
why() { wellkeep why "$1" --status-file "/run/$1/status.json"; }
# Runs, and serves nobody: the port is closed, so it is down and restarted.
hangs='exec sleep infinity'
watch_hang() { watch "$1" <<<"services: [{key: $1, systemd: $1, port: 1, heal: {steps: [restart], backoff: 6s, backoff_max: 6s, verify_within: ${2-5s}}}]"; }
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
    claim 'up_stop: up after a restart by hand' "$(all_of up_stop)" is_in up_stop up
    systemctl --quiet mask --now up_stop 2>&1
    becomes up_stop stopped
    # Not before the stop is over.
    # shellcheck disable=SC2317 # called by wait_for
    says_masked() { [[ $(why up_stop) == *'masked: nothing can start it'* ]]; }
    wait_for 'up_stop: why' 10 says_masked
    stays up_stop inactive 3
    like 'up_stop: none of this is an incident' "$(said up_stop | grep -c '^heal\|^opened')" 0
}
service up_stop <<<"$hangs"

# --- orders while it is down and waits for the backoff: the first heal did not help

backoff() {
    systemctl start "$1"
    watch_unit "$1"
    becomes "$1" up
    touch "/run/$1.dies"
    kill -9 "$(systemctl show -P MainPID "$1")"
    tells "$1" '^heal_failed .* did not help'
    wait_for "$1: its unit failed" 10 is_active "$1" failed
}
for name in backoff_stop backoff_mask backoff_reset backoff_restart; do
    service $name <<<"[ -e /run/$name.dies ] && exit 3; exec sleep infinity"
done
backoff_stop() {
    backoff backoff_stop
    systemctl stop backoff_stop
    becomes backoff_stop stopped
    tells backoff_stop '^refuse not restarted: .*order'
    stays backoff_stop failed 2
}
backoff_mask() {
    backoff backoff_mask
    systemctl --quiet mask backoff_mask 2>&1
    tells backoff_mask '^refuse not restarted: .*masked'
    stays backoff_mask failed 2
}
backoff_reset() {
    backoff backoff_reset
    systemctl reset-failed backoff_reset
    becomes backoff_reset stopped
    tells backoff_reset '^refuse not restarted: .*reset'
    stays backoff_reset inactive 2
}
backoff_restart() {
    backoff backoff_restart
    rm /run/backoff_restart.dies
    systemctl restart backoff_restart
    becomes backoff_restart up
    tells backoff_restart '^closed well again without a heal'
    stays backoff_restart active 3
    like 'backoff_restart: healed once' "$(heals backoff_restart)" 1
}

# --- orders between the decision and the call

# look STORY ORDER...: systemctl does that once the restart is decided.
look() {
    echo "systemctl ${*:2} $1" >"/run/$1.service.order"
    systemctl start "$1"
    watch_hang "$1"
    tells "$1" '^heal restart'
}
for name in look_stop look_restart look_mask look_reset; do service $name <<<"$hangs"; done
look_stop() {
    look look_stop stop
    tells look_stop '^cancel the restart was not made: meanwhile its unit went from active to inactive'
    becomes look_stop stopped
    stays look_stop inactive 1
}
look_restart() {
    look look_restart restart
    tells look_restart '^cancel the restart was not made: meanwhile its unit was started anew'
    like 'look_restart: started by hand alone' "$(starts look_restart)" 2
}
look_mask() {
    look look_mask mask
    tells look_mask '^cancel the restart was not made: meanwhile its unit file became masked'
    tells look_mask '^refuse not restarted: its unit is masked'
    systemctl stop look_mask
    becomes look_mask stopped
    like 'look_mask: why' "$(why look_mask)" masked
    stays look_mask inactive 1
}
look_reset() {
    echo 'systemctl reset-failed look_reset' >/run/look_reset.service.order
    systemctl start look_reset
    watch_unit look_reset
    becomes look_reset up
    kill -9 "$(systemctl show -P MainPID look_reset)"
    tells look_reset '^heal restart'
    tells look_reset '^cancel the restart was not made: meanwhile its unit went from failed to inactive'
    becomes look_reset stopped
    stays look_reset inactive 1
}

# --- orders during our restart, whose stop takes 6 s

# systemd looks again whom it has not told yet, and would end the sleep as well.
slow="trap 'trap \"\" TERM; sleep 6; exit 0' TERM; while :; do sleep 0.1; done"
started() { [ "$(starts "$1")" = "$2" ]; }
during() {
    systemctl start "$1"
    # On a busy machine a shell may not have come to its trap yet when it is stopped.
    wait_for "$1: it runs" 20 started "$1" 1
    sleep 0.5
    watch_hang "$1"
    tells "$1" '^heal restart'
    wait_for "$1: it is stopping" 10 is_active "$1" deactivating
}
for name in restart_stop restart_restart restart_mask; do service $name <<<"$slow"; done
restart_stop() {
    during restart_stop
    systemctl stop restart_stop
    tells restart_stop '^cancel the restart was not made: another order for restart_stop.service took the place'
    becomes restart_stop stopped
    stays restart_stop inactive 1
}
restart_restart() {
    during restart_restart
    systemctl restart restart_restart
    wait_for 'restart_restart: one restart for both orders' 20 started restart_restart 2
}
restart_mask() {
    during restart_mask
    systemctl --quiet mask --now restart_mask 2>&1
    tells restart_mask '^cancel the restart was not made: another order'
    becomes restart_mask stopped
    stays restart_mask inactive 1
}

# --- orders while a heal is verified

verify() {
    systemctl start "$1"
    watch_hang "$1" 60s
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
    like 'verify_restart: healed once' "$(heals verify_restart)" 1
}
verify_mask() {
    verify verify_mask
    systemctl --quiet mask --now verify_mask 2>&1
    tells verify_mask '^heal_failed the restart did not help: it was stopped meanwhile'
    like 'verify_mask: why' "$(why verify_mask)" masked
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
    like "$1: why" "$(why "$1")" 'a stop was ordered, so it stays as it is: failed:'
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
    sleep 5
    like 'at_once: it stays stopped' "$(systemctl is-active at_once.timer)" inactive
    like 'at_once: nothing was healed' "$(heals at_once)" 0
}
unit at_once.timer <<<$'[Timer]\nOnActiveSec=1d'
service at_once <<<true
between_restarts() {
    systemctl start between_restarts
    watch_unit between_restarts
    becomes between_restarts up
    kill -9 "$(systemctl show -P MainPID between_restarts)"
    becomes between_restarts starting
    systemctl stop between_restarts
    becomes between_restarts stopped
    tells between_restarts '^refuse not restarted: .*order'
    sleep 5
    like 'between_restarts: nothing was started' "$(starts between_restarts)" 1
}
service between_restarts Restart=always RestartSec=60 <<<"$hangs"

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
    like 'unwatched: why says so' "$(why unwatched)" 'nobody watched'
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
    sleep 3
    unwatch remembered
    rm /run/remembered.dies
    rewatch remembered
    tells remembered '^healed'
    becomes remembered up
}
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
    like 'fixed: nothing is healed' "$(grep -c '"heal"' /run/fixed/ledger.jsonl)" 0
    like 'fixed: nothing was started' "$(starts disabled) $(starts unmet)" '0 0'
}
service disabled $'[Install]\nWantedBy=multi-user.target' <<<"$hangs"
service masked <<<"$hangs"
service unmet $'[Unit]\nConditionPathExists=/nowhere\n[Install]\nWantedBy=multi-user.target' <<<"$hangs"

systemctl daemon-reload
systemctl --quiet enable remembered unmet
side_by_side up_stop backoff_{stop,mask,reset,restart} look_{stop,restart,mask,reset} restart_{stop,restart,mask} \
    verify_{stop,restart,mask} ends_{well,by_term,by_kill} fails_{143,timeout} at_once between_restarts unwatched remembered fixed
