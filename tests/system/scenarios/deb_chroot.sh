# shellcheck shell=bash
# The package where no systemd runs: in a chroot, as when an image is built. Its units run once that boots.

# As in an image that is being built: nothing of the machine that builds it.
mkdir /srv/image
tar -C / --one-file-system --exclude=./srv --exclude=./run -cf - . | tar -C /srv/image -xf -
mkdir /srv/image/run
# inside WHAT COMMAND...: works in there, and says nothing but what dpkg always says.
inside() {
    if ! chroot /srv/image "${@:2}" >/run/chroot.log 2>&1 || grep -qv "$ordinary" /run/chroot.log; then
        bad "$1" "$(cat /run/chroot.log)"
    else
        good "$1"
    fi
}
# systemd's own tools say of a bare chroot that it has no /proc.
ordinary='^\(/proc/ is not mounted. This is not\|your invocation environment\|Your mileage\|Selecting\|Preparing\|Unpacking\|Setting up\|(Reading\|Removing\|Purging\|Processing\|Creating\|Created\|/etc/wellkeep/monitor.yml: right\|note: \)'

inside 'it installs' dpkg --install /opt/wellkeep.deb
inside 'the program runs' wellkeep check
claim 'the user is there' none grep -q '^wellkeep:' /srv/image/etc/passwd
for unit in monitor viewer; do
    claim "the $unit will start when it boots" none \
        test -L "/srv/image/etc/systemd/system/multi-user.target.wants/wellkeep-$unit.service"
done
claim 'nothing runs there' "$(pgrep -a wellkeep)" test -z "$(pgrep wellkeep)"
# Without /proc the folder is left to the boot; with it, it is there.
mount --bind /proc /srv/image/proc
inside 'it is upgraded' dpkg --install /opt/wellkeep.deb
claim 'the folder is there' "$(ls /srv/image/var/lib)" test -d /srv/image/var/lib/wellkeep
inside 'it is removed' dpkg --remove wellkeep
inside 'and purged' dpkg --purge wellkeep
claim 'nobody is left' "$(grep wellkeep /srv/image/etc/passwd)" test -z "$(grep wellkeep /srv/image/etc/passwd /srv/image/etc/group)"

# The same from outside, with dpkg's --root: what runs here is not meant.
outside() {
    if ! dpkg --root=/srv/image --force-script-chrootless "${@:2}" >/run/chroot.log 2>&1 || grep -qv "$ordinary" /run/chroot.log; then
        bad "$1" "$(cat /run/chroot.log)"
    else
        good "$1"
    fi
}
dpkg --install /opt/wellkeep.deb >/run/dpkg.log 2>&1 || bad 'it installs here' "$(cat /run/dpkg.log)"
pid=$(systemctl show -P MainPID wellkeep-monitor)
outside 'it installs from outside' --install /opt/wellkeep.deb
claim 'the user is in there' none grep -q '^wellkeep:' /srv/image/etc/passwd
outside 'it is removed from outside' --remove wellkeep
outside 'and purged from outside' --purge wellkeep
claim 'nobody is left in there' none test -z "$(grep wellkeep /srv/image/etc/passwd)"
claim 'the user of this machine is' none getent passwd wellkeep
claim 'the monitor of this machine did not notice' "$pid, then $(systemctl show -P MainPID wellkeep-monitor)" \
    test "$(systemctl show -P MainPID wellkeep-monitor)" = "$pid"
