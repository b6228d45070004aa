# shellcheck shell=bash disable=SC2317
# The viewer gets its secrets as credentials of systemd, from files that only root can read, and never starts without.

page=http://127.0.0.1:9355
log() { journalctl --sync; journalctl --no-pager -o cat -u wellkeep-viewer; }
# status ARGUMENTS...: the HTTP status of an answer.
status() { curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "$@"; }
is_status() { [ "$(status "${@:2}")" = "$1" ]; }

mkdir -p /etc/wellkeep /etc/systemd/system/wellkeep-viewer.service.d
cat >/etc/wellkeep/monitor.yml <<'END'
viewer:
  access: {token: "${credential:viewer_token}", user: ada, password: "${credential:viewer_password}"}
services: [{key: journal, name: The journal, systemd: systemd-journald}]
END
systemd-sysusers
systemctl start wellkeep-monitor.service || bad "the monitor, which has no business with the secrets, does not start"

systemctl start wellkeep-viewer.service && bad 'the viewer starts without its secrets'
holds() { log | grep -qF -- "$1"; }
claim 'it says what it needs' "$(log)" holds 'needs the credential viewer_token, and systemd has handed over none; add'
claim 'nobody listens' none is_status 000 "$page/"

token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
(
    umask 077
    echo "$token" >/etc/wellkeep/viewer_token
    echo 'a long password' >/etc/wellkeep/viewer_password
)
cat >/etc/systemd/system/wellkeep-viewer.service.d/access.conf <<'END'
[Service]
LoadCredential=viewer_token:/etc/wellkeep/viewer_token
LoadCredential=viewer_password:/etc/wellkeep/viewer_password
END
systemctl daemon-reload
systemctl restart wellkeep-viewer.service || bad "the viewer does not start with its secrets: $(log)"
claim 'the page is for everybody' none is_status 200 "$page/"
claim 'the admin page is not' none is_status 401 "$page/admin"
claim 'the password opens it' none is_status 200 --user 'ada:a long password' "$page/admin"
claim 'the token opens the metrics' none is_status 200 --header "Authorization: Bearer $token" "$page/metrics"
claim 'another does not' none is_status 401 --header 'Authorization: Bearer wrong' "$page/metrics"
has_looked() { curl --silent "$page/api/status" | jq -e '.stale == false and .services.journal.state == "up"' >/dev/null; }
wait_for 'the monitor looks' 60 has_looked
public=$(curl --silent "$page/api/status")
like 'strangers see names and states' "$(jq -c '.services.journal | keys' <<<"$public")" \
    '["key","last_checked","name","ok","since","state"]'
whole=$(curl --silent --user 'ada:a long password' "$page/api/status")
like 'who is known sees everything' "$(jq -r .services.journal.systemd.state <<<"$whole")" active
like 'neither secret is in the log or in the document' \
    "<$(journalctl --no-pager -o cat | grep -cF -e "$token" -e 'a long password')$(grep -cF -e "$token" /var/lib/wellkeep/status.json)>" '<00>'
like 'doctor finds nothing wrong with that page' "$(wellkeep doctor | grep -A3 "http://127")" answers
