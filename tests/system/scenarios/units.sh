# shellcheck shell=bash
# Every state a unit can be in, as systemd itself reports it.

unit active.service <<'U'
[Unit]
Description=Stays
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
Alias=nickname.service
U
unit exits.service <<'U'
[Service]
ExecStart=sh -c 'exit 3'
U
unit missing-program.service <<'U'
[Service]
ExecStart=/nonexistent/program
U
unit killed.service <<'U'
[Service]
ExecStart=sleep infinity
U
unit precommand.service <<'U'
[Service]
ExecStartPre=false
ExecStart=sleep infinity
U
unit loops.service <<'U'
[Unit]
StartLimitBurst=3
[Service]
ExecStart=sh -c 'exit 1'
Restart=always
RestartSec=10ms
U
unit restarting.service <<'U'
[Service]
ExecStart=sh -c 'exit 1'
Restart=always
RestartSec=1h
U
unit slow-start.service <<'U'
[Service]
Type=notify
TimeoutStartSec=infinity
ExecStart=sleep infinity
U
unit times-out.service <<'U'
[Service]
Type=notify
TimeoutStartSec=100ms
ExecStart=sleep infinity
U
unit slow-stop.service <<'U'
[Service]
ExecStart=sh -c 'trap "" TERM; touch /run/slow-stop.runs; while :; do sleep 1; done'
TimeoutStopSec=600
U
unit broken.service <<'U'
[Service]
Type=simple
U
unit masked.service <<'U'
[Service]
ExecStart=sleep infinity
U
unit stopped.service <<'U'
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
U
unit disabled.service <<'U'
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
U
unit once.service <<'U'
[Service]
Type=oneshot
ExecStart=true
U
unit once-working.service <<'U'
[Service]
Type=oneshot
ExecStart=sleep infinity
U
unit once-fails.service <<'U'
[Service]
Type=oneshot
ExecStart=false
U
unit remains.service <<'U'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
U
unit idle.socket <<'U'
[Socket]
ListenStream=127.0.0.1:7777
U
unit idle.service <<'U'
[Service]
ExecStart=sleep infinity
U
unit timed.timer <<'U'
[Timer]
OnActiveSec=1h
U
unit timed.service <<'U'
[Service]
ExecStart=sleep infinity
U
# Something must need these two, or systemd forgets at once that it skipped them.
unit conditional.service <<'U'
[Unit]
ConditionPathExists=/nonexistent
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
U
unit asserting.service <<'U'
[Unit]
AssertPathExists=/nonexistent
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
U
unit vanishing.service <<'U'
[Service]
ExecStart=sleep infinity
U
mv /etc/systemd/system/masked.service /usr/lib/systemd/system/
systemctl daemon-reload
systemctl --quiet enable active.service stopped.service conditional.service asserting.service
systemctl --quiet mask masked.service
systemctl start --no-block active exits missing-program killed loops restarting slow-start times-out slow-stop \
    stopped once once-working once-fails remains idle.socket timed.timer conditional asserting vanishing precommand
until_state active.service active/running
until_state exits.service failed/failed
until_state missing-program.service failed/failed
until_state killed.service active/running
until_state loops.service failed/failed
until_state restarting.service activating/auto-restart
until_state times-out.service failed/failed
until_state slow-stop.service active/running
until_state once-fails.service failed/failed
until_state precommand.service failed/failed
until_state vanishing.service active/running
until_state idle.socket active/listening
systemctl kill --signal=KILL killed.service
until_state killed.service failed/failed
systemctl stop stopped.service
# What is stopped before its shell has come to its trap ends at once.
wait_for 'slow-stop runs' 10 test -e /run/slow-stop.runs
systemctl stop --no-block slow-stop.service
until_state slow-stop.service deactivating/stop-sigterm
rm /etc/systemd/system/vanishing.service
systemctl daemon-reload
sleep 1.1

pid=$(systemctl show -P MainPID active.service)
look active.service nickname.service remains.service multi-user.target idle.socket timed.timer \
    -.mount vanishing.service exits.service missing-program.service killed.service \
    precommand.service times-out.service loops.service once-fails.service restarting.service \
    slow-start.service slow-stop.service stopped.service disabled.service masked.service \
    conditional.service asserting.service activ.service nothing-like-it.service broken.service \
    once.service once-working.service idle.service timed.service
expect active.service pass $'\t[1-9]*\t{*"load_state":"loaded","main_pid":'"$pid"',"restarts":0,"result":"success",*"state":"active","sub_state":"running",*"unit_file_state":"enabled"'
expect nickname.service pass '"state":"active","sub_state":"running","unit":"nickname.service"'
expect remains.service pass '"sub_state":"exited"'
expect multi-user.target pass '"state":"active"'
expect idle.socket pass '"sub_state":"listening"'
expect timed.timer pass '"sub_state":"waiting"'
expect -.mount pass '"sub_state":"mounted"'
expect vanishing.service pass 'its unit file is not-found by now'
expect exits.service certain 'failed: exited with status 3'
expect missing-program.service certain 'failed: exited with status 203 (EXEC'
expect killed.service certain 'failed: killed by signal 9 (SIGKILL)'
expect precommand.service certain 'failed: one of its commands (ExecStartPre='
expect times-out.service certain 'failed: took longer'
expect loops.service certain 'failed: exited with status 1, after 3 restarts by systemd'
expect once-fails.service certain 'failed: exited with status 1'
expect restarting.service starting 'systemd restarts it by itself; 0 restarts so far; before that: exited with status 1'
expect slow-start.service starting 'systemd is starting it (start)'
expect slow-stop.service stopping 'being stopped (stop-sigterm)'
expect stopped.service unexplained 'inactive (dead): stopped by an administrator'
expect disabled.service unexplained 'inactive and disabled'
expect masked.service stopped 'masked: nothing can start it'
expect conditional.service stopped 'a Condition...= of the unit is not met'
expect asserting.service ordinary 'an Assert...= of the unit is not met'
expect activ.service ordinary 'unit activ.service not found: check the name in monitor.yml (did you mean active.service?)'
expect nothing-like-it.service ordinary 'check the name in monitor.yml'$'\t'
expect broken.service ordinary 'systemd cannot load broken.service (bad-setting)'
expect once.service pass '"state":"inactive"'
expect once-working.service pass '"state":"activating"'
expect idle.service pass '"state":"inactive"'
expect timed.service pass '"state":"inactive"'

# A stopped socket no longer explains why its service does not run.
systemctl stop idle.socket
look idle.service
expect idle.service unexplained 'inactive (dead)'

# Many at once come back in the order in which they were asked for, doubles and aliases included.
look stopped.service nickname.service activ.service active.service active.service
# shellcheck disable=SC2154 # of lib.sh
like order "$(printf '%s\n' "${answers[@]}" | cut -f1 | tr '\n' ' ')" 'unexplained pass ordinary pass pass '

# What a machine without a configuration would watch: not the disabled, not what ran once, not systemd's own.
wellkeep dev --listen 127.0.0.1:0 --status-file /run/dev/status.json >/run/dev.log 2>&1 &
dev=$!
wait_for 'dev writes its document' 10 test -s /run/dev/status.json
services=$(jq -r '.services[] | select(.group == "Units") | "\(.systemd.unit) \(.name)"' /run/dev/status.json)
like 'dev watches the running units' "$services" 'active.service Stays'
like 'dev leaves the others alone' "$(grep -c 'journald\|once\|disabled' <<<"$services")" 0
kill "$dev"
