# shellcheck shell=bash disable=SC2317
# The viewer on a socket of systemd: TCP, then unix. It is restarted and killed while clients ask all the time, and none
# is refused; the socket stays systemd's. Without the socket the viewer listens where its configuration says.

address=127.0.0.1:9355
log() { journalctl --sync; journalctl --no-pager -o cat -u wellkeep-viewer; }
# ask [OPTION...]: whether the viewer answers.
ask() { curl --silent --show-error --max-time 20 --output /dev/null --fail "$@"; }
mkdir -p /etc/wellkeep
# Not to be asked: the socket decides.
echo 'viewer: {listen: "127.0.0.1:9999"}' >/etc/wellkeep/monitor.yml
echo 'services: [{key: journal, systemd: systemd-journald}]' >>/etc/wellkeep/monitor.yml
systemd-sysusers
like 'the socket is no need of the viewer' "<$(systemctl show -P Requires -P Wants wellkeep-viewer.service | grep -o wellkeep-viewer.socket)>" '<>'
like 'nor is it enabled' "$(systemctl is-enabled wellkeep-viewer.socket)" disabled

# clients NAME OPTION...: three that ask until /run/stop is there, one after the other, each on a connection of its own.
# What went wrong is in /run/NAME.faults: 7 is refused.
clients() {
    local name=$1 client
    shift
    rm -f /run/stop
    : >"/run/$name.faults"
    : >"/run/$name.asked"
    for client in 1 2 3; do
        while [ ! -e /run/stop ]; do
            ask "$@" 2>>"/run/$name.faults" || echo "curl ended with $?" >>"/run/$name.faults"
            echo >>"/run/$name.asked"
        done &
    done
}
restarts() { systemctl show -P NRestarts wellkeep-viewer.service; }
pid() { systemctl show -P MainPID wellkeep-viewer.service; }
is_another() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ]; }

# under_clients NAME OPTION...: restarts, and a kill, under clients.
under_clients() {
    local name=$1 round before asked
    shift
    clients "$name" "$@"
    for round in 1 2 3 4 5; do
        before=$(pid)
        systemctl restart wellkeep-viewer.service || bad "$name: restart $round"
        claim "$name: another viewer after restart $round" "$before" is_another "$before"
    done
    sleep 0.3
    touch /run/stop
    # All jobs of this shell are clients.
    wait
    asked=$(wc -l <"/run/$name.asked")
    claim "$name: $asked clients asked" none [ "$asked" -ge 10 ]
    claim "$name: none was refused or left without an answer" "$(sort "/run/$name.faults" | uniq -c)" [ ! -s "/run/$name.faults" ]
    # Killed, it can let down whom it was answering, but refuse nobody.
    before=$(pid)
    kill -KILL "$before"
    claim "$name: who comes while none runs is answered by the next" none ask "$@"
    claim "$name: that was the next" "$before" is_another "$before"
}

# The socket alone starts the viewer when somebody comes.
systemctl start wellkeep-viewer.socket || bad 'the socket starts'
like 'no viewer yet' "$(systemctl is-active wellkeep-viewer.service)" inactive
claim 'the first client starts the viewer' none ask "http://$address/livez"
like 'the log says what decides' "$(log)" "serving on the socket of wellkeep-viewer.socket, which is http://$address/"
like 'the address file' "$(cat /run/wellkeep/viewer.addr)" $address
claim 'the configured address is not served' '9999' [ "$(ss -Hltn 'sport = :9999' | wc -l)" = 0 ]
under_clients tcp "http://$address/livez"

# As long as the viewer is stopped the socket is there.
systemctl stop wellkeep-viewer.service
like 'the socket outlives the viewer' "$(systemctl is-active wellkeep-viewer.socket) $(ss -Hltn 'sport = :9355' | wc -l)" 'active 1'

# A unix socket, by a drop-in as the unit explains it.
mkdir -p /etc/systemd/system/wellkeep-viewer.socket.d
printf '%s\n' '[Socket]' ListenStream= ListenStream=/run/wellkeep-viewer.sock >/etc/systemd/system/wellkeep-viewer.socket.d/address.conf
systemctl daemon-reload
systemctl restart wellkeep-viewer.socket || bad 'the socket starts with another address'
systemctl start wellkeep-viewer.service || bad 'the viewer starts'
like 'the log says which' "$(log)" 'which is unix:/run/wellkeep-viewer.sock'
inode=$(stat -c %i /run/wellkeep-viewer.sock)
under_clients unix --unix-socket /run/wellkeep-viewer.sock http://status.example.com/livez
systemctl stop wellkeep-viewer.service
like 'the file is the same and stays when the viewer stops' "$(stat -c %i /run/wellkeep-viewer.sock)" "$inode"
systemctl start wellkeep-viewer.service || bad 'the viewer starts'
# Twice the pace of the self-probe.
sleep 11
like 'it is content with itself' "$(restarts)" 0

# A mode that keeps the viewer itself out is no reason to end.
printf '%s\n' '[Socket]' SocketMode=0600 >/etc/systemd/system/wellkeep-viewer.socket.d/mode.conf
systemctl daemon-reload
systemctl stop wellkeep-viewer.service
systemctl restart wellkeep-viewer.socket
systemctl start wellkeep-viewer.service || bad 'the viewer starts'
before=$(pid)
sleep 16
like 'the same viewer although it cannot ask itself' "$(pid) $(restarts)" "$before 0"
claim 'it answers' none ask --unix-socket /run/wellkeep-viewer.sock http://status.example.com/livez

# Something else is refused, and told.
printf '%s\n' '[Socket]' ListenStream= ListenDatagram=/run/wellkeep-viewer.sock >/etc/systemd/system/wellkeep-viewer.socket.d/address.conf
systemctl daemon-reload
systemctl stop wellkeep-viewer.service
systemctl restart wellkeep-viewer.socket
systemctl start wellkeep-viewer.service 2>/dev/null && bad 'it starts with a datagram socket'
like 'the log says what it takes' "$(log)" 'cannot listen on what systemd handed over: no stream socket'
like 'and ends with 2' "$(systemctl show -P ExecMainStatus wellkeep-viewer.service)" 2
systemctl stop wellkeep-viewer.socket wellkeep-viewer.service

# Without a socket the configuration decides.
systemctl start wellkeep-viewer.service || bad 'the viewer starts without a socket'
claim 'it listens where it is told' "$(log)" ask http://127.0.0.1:9999/livez
