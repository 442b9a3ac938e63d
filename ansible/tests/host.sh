#!/bin/bash
# The first process of one pretended machine: gives it a file system of its own and becomes its systemd.
#
#   host.sh FOLDER NAME USER [DEVICE=LINK...]      the public key that may log in as USER comes by standard input
#
# Each DEVICE of this machine is a disk there, by the name that udev would give it: /dev/disk/by-id/LINK.
#
# Runs as root inside new network, mount, process, name and IPC namespaces; everything is gone with its last process.
# The file system is this machine's, seen through a layer in memory that takes all writes.
set -euo pipefail
folder=$1 name=$2 user=$3
shift 3
key=$(cat)

mount --make-rprivate /
mount -t tmpfs -o size=1g,mode=755 tmpfs "$folder"
mkdir "$folder"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"

mount -t proc proc proc
# What belongs to the whole machine stays as it is: only the settings of this host's own network can be written.
mount --bind proc/sys/net mnt
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount --move mnt proc/sys/net
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir -p dev/disk/by-id
for disk in "$@"; do
    touch "dev/disk/by-id/${disk#*=}"
    mount --bind "${disk%%=*}" "dev/disk/by-id/${disk#*=}"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp

hostname "$name"
echo "$name" > etc/hostname
printf '127.0.0.1 localhost %s\n' "$name" > etc/hosts
: > etc/machine-id
# Of what this machine starts, a new cloud machine has these; redis-server as an image with the package would.
rm -rf etc/systemd/system/*.wants
mkdir -p etc/systemd/system/multi-user.target.wants
for unit in ssh chrony redis-server; do
    ln -s "/lib/systemd/system/$unit.service" etc/systemd/system/multi-user.target.wants/
done
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    getty.target systemd-logind.service systemd-timesyncd.service systemd-resolved.service systemd-remount-fs.service \
    systemd-random-seed.service ldconfig.service systemd-firstboot.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
# The clock is the machine's: this one is watched, never set.
echo 'DAEMON_OPTS="-x"' > etc/default/chrony

chroot . useradd --create-home --shell /bin/bash "$user"
mkdir -p "home/$user/.ssh"
echo "$key" > "home/$user/.ssh/authorized_keys"
chown -R --reference="home/$user" "home/$user/.ssh"
chmod 700 "home/$user/.ssh"
echo "$user ALL=(ALL) NOPASSWD: ALL" > etc/sudoers.d/flowtest-lab

mkdir -p .old
pivot_root . .old
umount -l /.old
# As systemd's CONTAINER_INTERFACE asks.
mount --make-rshared /
exec env -i container=flowtest-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
