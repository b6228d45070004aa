# shellcheck shell=bash
# The sandboxes of the two services, proved from inside: what they must do works, and what they have no business with
# fails. The attempts are made by the units themselves, as they are shipped but for the program: a drop-in puts the
# attempts in its place.

# The units as shipped.
said=$(systemd-analyze verify --man=no /usr/lib/systemd/system/wellkeep-*.{service,socket,path} 2>&1)
claim 'systemd has nothing to say against the units' "$said" test -z "$said"
# exposure NAME MOST: what systemd thinks of the sandbox, from 0 to 10; better is less.
exposure() {
    local line
    line=$(systemd-analyze security --no-pager "wellkeep-$1" | tail -n 1 | tr -cd '[:print:]')
    echo "figure wellkeep-$1: $line"
    claim "the exposure of $1 is at most $2" "$line" \
        awk "BEGIN { exit !(\"$line\" ~ /: [0-9.]+ / && $(grep -o '[0-9]\+\.[0-9]\+' <<<"$line" | head -n 1) <= $2) }"
}
exposure viewer 1.5
exposure monitor 3.0

systemd-sysusers
# Everybody may write in here, and to that: only a sandbox can be against it.
mkdir -p /etc/wellkeep /var/lib/wellkeep
for open in /etc /usr /home /var/lib /srv /run /run/user; do mkdir -p $open/open && chmod 777 $open/open; done
touch /tmp/of-others
chmod 666 /tmp/of-others
echo secret >/home/open/secret
unit victim.service <<'U'
[Service]
ExecStart=sleep infinity
U
cat >/etc/wellkeep/monitor.yml <<'Y'
services:
  - {key: victim, systemd: victim, heal: restart}
  - {key: name, url: "http://localhost:8001/"}
Y
# The names of the machine come from this file, and a lookup goes by way of the C library.
echo '127.0.0.1 localhost' >>/etc/hosts
systemctl daemon-reload
systemctl start victim
systemctl show -P MainPID victim >/run/victim

# Each line of what it prints is an attempt: its name, a tab, "done" or what stood against it.
install -m 755 /dev/stdin /usr/local/bin/attempts <<'P'
#!/usr/bin/python3
import ctypes, errno, os, signal, socket, subprocess, sys, urllib.request
libc = ctypes.CDLL(None, use_errno=True)
victim = int(open("/run/victim").read())

def call(name, *arguments):
    if libc.syscall(ctypes.c_long(name), *arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

def libcall(function, *arguments):
    if function(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

def write(path):
    with open(path, "a") as file:
        file.write("x")

def change(path):
    # Without O_CREAT, which the kernel is against in a sticky folder of others.
    with open(path, "r+") as file:
        first = file.read(1)
        file.seek(0)
        file.write(first)

def read(path):
    with open(path, "rb") as file:
        if not file.read(1):
            raise OSError("empty")

def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)

def run(*command):
    end = subprocess.run(command, capture_output=True, text=True)
    if command[0] == "journalctl" and not end.stdout:
        raise OSError("nothing to read")
    if end.returncode != 0:
        raise OSError((end.stdout + end.stderr).strip().replace("\n", " ") or f"status {end.returncode}")

def set_id():
    # A program that is root's whoever starts it, and says who it is.
    run("/usr/local/bin/rooted", "-c", "import os; exit(os.geteuid() != 0)")

def become_root():
    libcall(libc.setuid, 0)

def executable_memory():
    import mmap
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def make_set_id():
    path = sys.argv[2] + "/rooted"
    write(path)
    os.chmod(path, 0o4755)

def interface():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))

def raw(family, kind, protocol):
    return lambda: socket.socket(family, kind, protocol).close()

def fetch():
    with urllib.request.urlopen("http://localhost:8001/", timeout=10) as answer:
        answer.read()

def listen():
    with socket.create_server(("127.0.0.1", 0)):
        pass

CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, PTRACE_ATTACH = 0x10000000, 0x20000, 0x40000000, 16
MACHINE = {"x86_64": dict(init_module=175, reboot=169, bpf=321, ptrace=101), "aarch64": dict(init_module=105, reboot=142, bpf=280, ptrace=117)}
numbers = MACHINE[os.uname().machine]
attempts = {
    "write to /etc": lambda: write("/etc/open/written"),
    "write to /usr": lambda: write("/usr/open/written"),
    "write to /home": lambda: write("/home/open/written"),
    "write to /var/lib": lambda: write("/var/lib/open/written"),
    "write to /srv": lambda: write("/srv/open/written"),
    "write to /run": lambda: write("/run/open/written"),
    "write to /run/user": lambda: write("/run/user/open/written"),
    "write to /dev/shm": lambda: write("/dev/shm/written-by-" + sys.argv[3]),
    "write to what others have in /tmp": lambda: change("/tmp/of-others"),
    "write to the configuration": lambda: change("/etc/wellkeep/monitor.yml"),
    "write to the document": lambda: change("/var/lib/wellkeep/status.json"),
    "write to its own folder": lambda: write(sys.argv[2] + "/written"),
    "write to /proc/sys": lambda: write("/proc/sys/kernel/hostname"),
    "write to /sys/fs/cgroup": lambda: write("/sys/fs/cgroup/cgroup.procs"),
    "read /home": lambda: read("/home/open/secret"),
    "read /etc/shadow": lambda: read("/etc/shadow"),
    "read the kernel log": lambda: read("/dev/kmsg"),
    "read memory": lambda: read("/dev/mem"),
    "read the configuration": lambda: read("/etc/wellkeep/monitor.yml"),
    "read the boot id": lambda: read("/proc/sys/kernel/random/boot_id"),
    "read another's command line": lambda: read(f"/proc/{victim}/cmdline"),
    "read another's memory": lambda: read(f"/proc/{victim}/mem"),
    "read the journal": lambda: run("journalctl", "--quiet", "-n", "1", "-u", "victim"),
    "open a raw internet socket": raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "open a packet socket": raw(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "open a netlink socket": interface,
    "open a vsock socket": raw(socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    "listen": listen,
    "fetch a page by name": fetch,
    "reach the bus": lambda: connect("/run/dbus/system_bus_socket"),
    "reach systemd": lambda: connect("/run/systemd/private"),
    "ask systemd": lambda: run("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                               "org.freedesktop.systemd1.Manager", "GetUnit", "s", "victim.service"),
    "stop a unit": lambda: run("systemctl", "stop", "victim"),
    "start a transient unit": lambda: run("systemd-run", "true"),
    "load a module": lambda: call(numbers["init_module"], 0, 0, b""),
    "load a program into the kernel": lambda: call(numbers["bpf"], 5, 0, 0),
    "trace a process": lambda: call(numbers["ptrace"], PTRACE_ATTACH, victim, 0, 0),
    "kill a process": lambda: os.kill(victim, signal.SIGKILL),
    "become root": become_root,
    "become root by a set-user-ID program": set_id,
    "make a set-user-ID program": make_set_id,
    "make a user namespace": lambda: libcall(libc.unshare, CLONE_NEWUSER),
    "make a mount namespace": lambda: libcall(libc.unshare, CLONE_NEWNS),
    "make a network namespace": lambda: libcall(libc.unshare, CLONE_NEWNET),
    "mount": lambda: libcall(libc.mount, b"tmpfs", b"/srv", b"tmpfs", 0, 0),
    "unmount": lambda: libcall(libc.umount2, b"/proc", 2),
    "make a device": lambda: os.mknod(sys.argv[2] + "/device", 0o20666, os.makedev(1, 1)),
    "set the host name": lambda: socket.sethostname("other"),
    "set the clock": lambda: __import__("time").clock_settime(0, 0),
    "shut the machine down": lambda: call(numbers["reboot"], 0, 0, 0, 0),
    "run at a higher priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -10),
    "run in real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "run written memory": executable_memory,
}
with open(sys.argv[1], "w") as report:
    for name, attempt in attempts.items():
        try:
            attempt()
            found = "done"
        except Exception as fault:
            found = str(fault) or repr(fault)
        report.write(f"{name}\t{found}\n")
P
install -m 4755 /usr/bin/python3 /usr/local/bin/rooted
python3 -m http.server --bind 127.0.0.1 8001 >/dev/null 2>&1 &
server=$!
wait_for 'the page to fetch is there' 20 curl --silent --output /dev/null http://localhost:8001/

# judge WHO FILE: from now on this is about what it found.
judge() {
    who=$1
    told=0
    mapfile -t found <"$2"
}
# attempt NAME FOLDER: all of the attempts, by the unit wellkeep-NAME, which owns FOLDER.
attempt() {
    local unit=wellkeep-$1
    mkdir -p "/etc/systemd/system/$unit.service.d"
    # A program that says nothing to systemd, and ends.
    printf '%s\n' '[Service]' Type=oneshot Restart=no WatchdogSec=0 RuntimeDirectoryPreserve=yes ExecStart= \
        "ExecStart=/usr/local/bin/attempts $2/attempts $2 $1" >"/etc/systemd/system/$unit.service.d/attempts.conf"
    systemctl daemon-reload
    systemctl start "$unit" || bad "$unit makes the attempts" "$(journalctl --no-pager -n 20 -u "$unit")"
    judge "$1" "$2/attempts"
}
# outcome WHAT: how that attempt ended.
outcome() {
    local line
    for line in "${found[@]}"; do
        [ "${line%%$'\t'*}" != "$1" ] || { echo "${line#*$'\t'}"; return; }
    done
    echo 'never tried'
}
# can WHAT..., cannot WHAT...: for the last one who tried.
can() { local what; for what in "$@"; do told=$((told + 1)); like "$who can $what" "<$(outcome "$what")>" '<done>'; done; }
cannot() {
    local what
    for what in "$@"; do
        told=$((told + 1))
        claim "$who cannot $what" "$(outcome "$what")" test "$(outcome "$what")" != 'done' -a "$(outcome "$what")" != 'never tried'
    done
}
all_told() { like "all attempts of $who were judged" "$told" "${#found[@]}"; }
nobody=(
    'write to /etc' 'write to /usr' 'write to /home' 'write to /var/lib' 'write to /srv' 'write to /run' 'write to /run/user'
    'write to /dev/shm' 'write to what others have in /tmp' 'write to the configuration' 'write to /proc/sys' 'write to /sys/fs/cgroup'
    'read /etc/shadow' 'read the kernel log' 'read memory' "read another's memory"
    'open a raw internet socket' 'open a packet socket' 'open a vsock socket' 'reach systemd' 'stop a unit' 'start a transient unit'
    'load a module' 'load a program into the kernel' 'trace a process' 'kill a process' 'become root'
    'become root by a set-user-ID program' 'make a set-user-ID program' 'make a user namespace' 'make a mount namespace'
    'make a network namespace' 'mount' 'unmount' 'make a device' 'set the host name' 'set the clock' 'shut the machine down'
    'run at a higher priority' 'run in real time' 'run written memory'
)
everybody=('write to its own folder' 'read the configuration' 'read the boot id' 'listen' 'fetch a page by name')
# What the two differ in.
monitors=('write to the document' 'read /home' "read another's command line" 'read the journal' 'open a netlink socket'
    'reach the bus' 'ask systemd')

# A user without a sandbox can do all this, so that what fails below fails by the sandbox.
mkdir -m 777 /run/plain
touch /var/lib/wellkeep/status.json
chmod 666 /var/lib/wellkeep/status.json /etc/wellkeep/monitor.yml
setpriv --reuid=daemon --regid=daemon --init-groups /usr/local/bin/attempts /run/plain/attempts /run/plain plain
judge plain /run/plain/attempts
can 'write to /etc' 'write to /usr' 'write to /home' 'write to /var/lib' 'write to /srv' 'write to /run' 'write to /run/user' \
    'write to /dev/shm' 'write to what others have in /tmp' 'write to the configuration' 'write to the document' 'read /home' \
    "read another's command line" 'open a netlink socket' 'reach the bus' 'ask systemd' 'make a set-user-ID program' \
    'become root by a set-user-ID program' 'run written memory' "${everybody[@]}"

attempt monitor /var/lib/wellkeep
can "${everybody[@]}" "${monitors[@]}"
cannot "${nobody[@]}"
all_told

# It owns nothing, and reads what everybody may.
attempt viewer /run/wellkeep
can "${everybody[@]}"
cannot "${nobody[@]}" "${monitors[@]}"
all_told

# The viewer itself, where no monitor runs: of units it cannot tell, and says why. The rest of its own look works.
rm -r /etc/systemd/system/wellkeep-viewer.service.d /var/lib/wellkeep/status.json
systemctl daemon-reload
systemctl start wellkeep-viewer || bad 'the viewer starts'
api() { curl --silent --max-time 20 http://127.0.0.1:9355/api/status; }
looked() { api >/run/api && jq -e '.mode == "live_checks"' /run/api >/dev/null; }
wait_for 'the viewer looks for itself' 30 looked
claim 'it cannot tell of a unit, and says why' "$(cat /run/api)" \
    jq -e '.services.victim.systemd | .outcome == "unknown" and (.reason | contains("D-Bus"))' /run/api
claim 'it can tell of a page' "$(cat /run/api)" jq -e '.services.name.http.status_code == 200' /run/api
kill $server
