# shellcheck shell=bash
# How long it takes from a kill -9 until status.json says so. Nothing is healed, or the services would run again at once.

{
    echo 'services:'
    for number in 0 1 2 3; do
        unit plain$number.service <<'U'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=sleep infinity
U
        unit again$number.service <<'U'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=sleep infinity
Restart=always
RestartSec=200ms
U
        echo "  - {key: plain$number, systemd: plain$number}"
        echo "  - {key: again$number, systemd: again$number}"
        echo "  - {key: outside$number, process_match: [outside$number, infinity]}"
    done
    # Well above what is measured: whatever is seen sooner was not seen by polling.
    echo 'defaults: {interval: 2s, retry_interval: 1s, timeout: 1s, failure_threshold: 1, success_threshold: 1}'
} >/run/latency.yml
systemctl daemon-reload
systemctl start {plain,again}{0..3}
wellkeep monitor --config /run/latency.yml --status-file /run/latency/status.json 2>/run/latency.log &
wait_for "a document" 10 test -s /run/latency/status.json
python3 /opt/latency.py /run/latency/status.json || failures=$((failures + 1))
