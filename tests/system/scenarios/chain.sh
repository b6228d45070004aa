# shellcheck shell=bash
# Dependencies, and several at once: only the one that everything waits for is healed; a common cause is waited out, and
# then they come one at a time, in the order of what needs what.

main_pid() { systemctl show -P MainPID "$1"; }
is_active() { [ "$(systemctl show -P ActiveState "$1")" = "$2" ]; }
tells() { wait_for "$1: the ledger of ${2} says $3" "${4-60}" has_said "$1" "$3" "$2"; }
becomes() { wait_for "$1: $2 is $3" "${4-60}" is_in "$1" "$3" "$2"; }

# --- a needs b, b needs c. c dies for good at first; a and b answer 500 as long as c does not answer.
install -m 755 /dev/stdin /usr/local/bin/link <<'P'
#!/usr/bin/python3
import http.server, sys, urllib.request
port, need = int(sys.argv[1]), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if need:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{need}/", timeout=1)
            except OSError:
                status = 500
        self.send_response(status)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
P
service chain_c <<<'[ -e /run/chain_c.dies ] && exit 1; exec /usr/local/bin/link 9003 0'
service chain_b <<<'exec /usr/local/bin/link 9002 9003'
service chain_a <<<'exec /usr/local/bin/link 9001 9002'
why_a() { [[ $(wellkeep why a --status-file /run/chain/status.json) == *'b needs c, which is down'* ]]; }
chain() {
    systemctl start chain_c chain_b chain_a
    watch chain <<'Y'
services:
  - {key: a, systemd: chain_a, url: 'http://127.0.0.1:9001/', depends_on: [b]}
  - {key: b, systemd: chain_b, url: 'http://127.0.0.1:9002/', depends_on: [c]}
  - {key: c, systemd: chain_c, url: 'http://127.0.0.1:9003/', heal: {steps: [restart], backoff: 15s, backoff_max: 15s}}
Y
    local key
    for key in a b c; do becomes chain $key up; done
    touch /run/chain_c.dies
    kill -9 "$(main_pid chain_c)"
    becomes chain c down
    becomes chain b blocked
    becomes chain a blocked
    tells chain c '^heal_failed '
    tells chain b '^wait not restarted: .*c, which it needs, is down'
    tells chain a '^wait not restarted: .*b, which it needs, is blocked'
    # Not while c is just being started.
    wait_for 'chain: why a' 20 why_a
    tells chain c '^heal restart (2 of 5'
    # a dies, too, while it is blocked: nothing is done about it until b is well again.
    kill -9 "$(main_pid chain_a)"
    sleep 3
    same 'chain: heals of a and b' "$(heals chain a) $(heals chain b)" '0 0'
    claim 'chain: a is left as it is' "$(all_of chain)" is_active chain_a failed
    rm /run/chain_c.dies
    tells chain c '^healed the restart helped'
    becomes chain c up
    becomes chain b up
    tells chain b '^closed well again without a heal'
    same 'chain: heals and starts of b, which came back by itself' "$(heals chain b) $(starts chain_b)" '0 1'
    tells chain a '^healed the restart helped'
    becomes chain a up
    same 'chain: heals and starts of a, after its grace' "$(heals chain a) $(starts chain_a)" '1 2'
    local after_a
    after_a=$(jq -r '.service + " " + .decision' /run/chain/ledger.jsonl | sed '1,/^a heal$/d')
    same 'chain: heals of c after that of a' "$(grep -c '^c heal$' <<<"$after_a")" 0
}

# --- ten of one cause. ten_0 needs ten_1, and so on to ten_3; the others need nobody.
for number in {0..9}; do service "ten_$number" <<<'exec sleep infinity'; done
ten() {
    systemctl start ten_{0..9}
    local number need pids=()
    {
        echo 'services:'
        for number in {0..9}; do
            need=
            [ "$number" -ge 3 ] || need="depends_on: [t$((number + 1))], "
            echo "  - {key: t$number, systemd: ten_$number, $need heal: restart}"
        done
    } >/run/ten.yml
    watch ten </run/ten.yml

    for number in {0..9}; do becomes ten "t$number" up; done
    for number in {0..9}; do pids+=("$(main_pid "ten_$number")"); done
    kill -9 "${pids[@]}"
    tells ten - '^wait .* services went down within a minute, which points to a common cause: nothing is healed for a while, and then one at a time'
    tells ten t9 '^wait not restarted: several services went down at once'
    for number in {0..9}; do becomes ten "t$number" up 120; done
    for number in {0..9}; do
        claim "ten: t$number was healed once" "$(all_of ten)" [ "$(heals ten "t$number")" = 1 ]
        same "ten: starts of t$number" "$(starts "ten_$number")" 2
    done
    # On a machine that is too slow to see three of them within half a second, the first may be healed before that.
    claim 'ten: nothing is healed before it is known' "$(all_of ten)" \
        [ "$(sed '/which points to a common cause: nothing/,$d' /run/ten/ledger.jsonl | grep -c '"decision":"heal"')" -le 1 ]
    local pause
    pause=$(jq -s 'map(select(.words | test("which points to a common cause: nothing")))[0].at as $known
        | map(select(.decision == "heal" and .at > $known))[0].at as $first | ($first | fromdate) - ($known | fromdate)' /run/ten/ledger.jsonl)
    claim 'ten: nothing is healed for a while after that' "$pause s" [ "$pause" -ge 29 ]
    # Between the heal of one and the end of its verification there is no heal of another.
    claim 'ten: one at a time' "$(all_of ten)" [ -z "$(jq -r '.decision' /run/ten/ledger.jsonl | grep '^heal' | uniq -d)" ]
    local order
    order=$(sed '1,/which points to a common cause: nothing/d' /run/ten/ledger.jsonl | jq -r 'select(.decision == "heal") | .service' | grep '^t[0-3]$')
    claim 'ten: in the order of what needs what' "$order" [ "$order" = "$(sort -r <<<"$order")" ]
    like 'ten: the turns are told' "$(grep -o 'one at a time after a common cause, and t[0-9] [a-z ]*' /run/ten/ledger.jsonl | head -n 3)" \
        'one at a time after a common cause, and'
}

systemctl daemon-reload
side_by_side chain ten
