# shellcheck shell=bash
# One service crashes and one hangs while the machine boots, and the boot takes its time (the units are in boot/, there
# before the boot). They are healed, and not before systemd says that it is finished.

calm
# The monitor runs already, with a /proc of its own.
if [ -e /proc/pressure ]; then
    nsenter --target "$(systemctl show -P MainPID wellkeep-monitor)" --mount mount --bind /run/pressure /proc/pressure ||
        bad 'no calm'
fi
ledger=/var/lib/wellkeep/ledger.jsonl
decided() { grep "\"service\":\"$1\",\"decision\":\"$2\"" $ledger; }
healed() { decided "$1" healed >/dev/null; }
# shellcheck disable=SC2034 # for wait_for
hint="cat $ledger"
finished=$(systemctl show -P FinishTimestampMonotonic)
for key in crashes hangs; do
    wait_for "$key is healed" 60 healed $key
    began=$(systemctl show -P ExecMainStartTimestampMonotonic $key)
    claim "$key was started after the boot" "$began, and the boot was finished at $finished" [ "$began" -gt "$finished" ]
    like 'it was not before' "$(decided $key wait)" '"words":"not restarted: the boot is not finished yet"'
    same 'heals' "$(decided $key heal | wc -l)" 1
done
