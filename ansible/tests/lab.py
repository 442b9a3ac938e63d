"""Pretended machines for the tests: network namespaces with a file system view, systemd and sshd of their own.

Owns a bridge, one veth pair and one process tree per machine. Must run inside the namespaces that run.sh makes: there
is no way out of them, and everything in them ends with it. Never touches this machine's own network or files.
"""

import os
import pathlib
import secrets
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
BRIDGE = "lab0"
# The first address of the subnet is the VPC's router; here it is the organiser.
ORGANISER = "10.77.0.1"


def run(*words, **more):
    return subprocess.run(words, check=True, **more)


class Lab:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hosts = {}
        self.disks = {}
        # /sys shows the network of whoever mounted it, so it is not asked.
        if subprocess.run(["ip", "link", "show", BRIDGE], check=False, capture_output=True).returncode != 0:
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "add", BRIDGE, "type", "bridge")
            run("ip", "address", "add", f"{ORGANISER}/16", "dev", BRIDGE)
            run("ip", "link", "set", BRIDGE, "up")
        # Each machine's systemd believes that it owns the control groups, so each gets a branch of its own.
        self.groups = self.folder / "cgroup"
        self.groups.mkdir(exist_ok=True)
        if not (self.groups / "cgroup.procs").exists():
            run("mount", "-t", "cgroup2", "cgroup2", str(self.groups))
        self.token = secrets.token_hex(4)

    def group(self, netns):
        """A machine's branch of the control groups. They are one tree for the whole host, on which another run of these tests
        has machines of the same addresses, so ours bear a token."""
        return self.groups / f"flowtest-{self.token}-{netns}"

    def disk(self, volume, mib=4096):
        """A disk for each volume, which outlives machines as the volume does: a file behind a loop device."""
        if volume not in self.disks:
            image = self.folder / f"{volume}.img"
            with open(image, "wb") as file:
                file.truncate(mib << 20)
            device = run("losetup", "--find", "--show", str(image), capture_output=True, text=True).stdout.strip()
            # While somebody holds it, letting go of it is put off until the last one does, so it never outlives the tests.
            held = open(device, "rb")
            run("losetup", "--detach", device)
            self.disks[volume] = (device, held)
        return self.disks[volume][0]

    def boot(self, name, address, user, key, volumes=()):
        """Boots a machine and waits until its sshd answers. `key` is the public key that may log in; of EC2's `volumes` it
        has disks."""
        links = [f"{self.disk(volume)}=nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}" for volume in volumes]
        number = address.replace(".", "-")[3:]
        outside, netns = f"v{number}"[:15], f"lab-{number}"
        room = self.folder / netns
        room.mkdir(exist_ok=True)
        run("ip", "netns", "add", netns)
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", netns)
        run("ip", "link", "set", outside, "master", BRIDGE, "up")
        run("ip", "-n", netns, "address", "add", f"{address}/16", "dev", "eth0")
        run("ip", "-n", netns, "link", "set", "eth0", "up")
        run("ip", "-n", netns, "link", "set", "lo", "up")
        group = self.group(netns)
        group.mkdir(exist_ok=True)
        log = open(room.with_suffix(".log"), "wb")
        process = subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group)]
            + ["ip", "netns", "exec", netns, "unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork"]
            + ["--kill-child", "bash", str(HERE / "host.sh"), str(room), name, user, *links],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )
        process.stdin.write(key.encode())
        process.stdin.close()
        self.hosts[name] = (address, netns, process)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended while booting: {room.with_suffix('.log').read_text()}")
            try:
                with socket.create_connection((address, 22), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"{name} has no sshd after a minute: {room.with_suffix('.log').read_text()}")

    def halt(self, name):
        """Pulls the plug."""
        _, _, process = self.hosts[name]
        # unshare kills its child, which is the machine's first process, so everything in it ends.
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children or [str(process.pid)]:
            os.kill(int(child), signal.SIGKILL)
        self.wait(name)

    def wait(self, name):
        """Until it has stopped."""
        _, netns, process = self.hosts[name]
        # Rings and their locked memory take the kernel a while when the machine is busy.
        process.wait(timeout=120)
        del self.hosts[name]
        run("ip", "netns", "delete", netns)
        # The kernel takes a moment to bury the last process.
        for _ in range(50):
            subprocess.run(["find", str(self.group(netns)), "-depth", "-type", "d", "-delete"],
                           check=False, capture_output=True)
            if not self.group(netns).exists():
                return
            time.sleep(0.1)

    def unplug(self, name, unplugged=True):
        """Takes a machine off the network, or puts it back."""
        address, _, _ = self.hosts[name]
        run("ip", "link", "set", f"v{address.replace('.', '-')[3:]}"[:15], "down" if unplugged else "up")

    def shell(self, name, command):
        """Runs a command as root inside, past sshd, and returns what it printed."""
        _, _, process = self.hosts[name]
        first = process.pid
        # ip netns exec becomes unshare, whose child is systemd.
        first = int(pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])
        done = subprocess.run(
            ["nsenter", "--target", str(first), "--all", "sh", "-c", command],
            # A group of its own: a signal to its group shall not reach us.
            capture_output=True, text=True, timeout=60, start_new_session=True,
        )
        return done.stdout + done.stderr

    def close(self):
        for name in list(self.hosts):
            self.halt(name)
        for _, held in self.disks.values():
            held.close()

    def sync(self, instances, key):
        """Makes the machines be what EC2 says: (name, address, user, volumes) each."""
        wanted = {name: rest for name, *rest in instances}
        for name in list(self.hosts):
            if name not in wanted or wanted[name][0] != self.hosts[name][0]:
                self.halt(name)
        for name, (address, user, volumes) in wanted.items():
            if name not in self.hosts:
                self.boot(name, address, user, key, volumes)
