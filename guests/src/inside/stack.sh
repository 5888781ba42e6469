#!/bin/bash
# Inside a guest: what servers put on a disk. `stack.sh make|open|close|check|hide DISK`: a vfat EFI partition, an ext4, an xfs on LVM and an
# ext4 in LUKS. Mounted on /mnt/efi, /mnt/data, /mnt/volume and /mnt/safe.
set -e
disk=$2
make() {
    sgdisk --new 1:0:+34M --typecode 1:ef00 --new 2:0:+96M --new 3:0:+330M --typecode 3:8e00 --new 4:0:+72M --typecode 4:8309 "$disk"
    udevadm settle
    mkfs.vfat -F 16 -n EFI "${disk}1"
    mkfs.ext4 -q -L data "${disk}2"
    pvcreate -q "${disk}3" && vgcreate -q stack "${disk}3" && lvcreate -q -y -l 100%FREE -n volume stack
    mkfs.xfs -q -L volume /dev/stack/volume
    echo -n secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "${disk}4" -
    echo -n secret | cryptsetup open "${disk}4" safe -
    mkfs.ext4 -q -L safe /dev/mapper/safe
    udevadm settle
    cryptsetup close safe
}
open() {
    echo -n secret | cryptsetup open "${disk}4" safe -
    vgchange -q --devices "${disk}3" --activate y stack
    udevadm settle
    mkdir -p /mnt/efi /mnt/data /mnt/volume /mnt/safe
    mount "${disk}1" /mnt/efi && mount "${disk}2" /mnt/data && mount /dev/stack/volume /mnt/volume && mount /dev/mapper/safe /mnt/safe
}
# A point under way holds what it freezes open for a moment.
unmount() {
    for folder in "$@"; do
        for _ in $(seq 100); do umount "$folder" && break; sleep 0.2; done
        ! mountpoint -q "$folder"
    done
}
close() {
    unmount /mnt/efi /mnt/data /mnt/volume /mnt/safe
    vgchange -q --devices "${disk}3" --activate n stack
    cryptsetup close safe
    udevadm settle
}
# The disk's parts go away, which udev and LVM may have brought up by themselves.
hide() {
    udevadm settle
    [ ! -e "${disk}3" ] || vgchange -q --devices "${disk}3" --activate n stack
    partx --delete "$disk" || true
    udevadm settle
}
# What the file systems' own tools say. Logs are replayed by mounting before: a frozen XFS keeps a live one.
check() {
    open
    unmount /mnt/efi /mnt/data /mnt/volume /mnt/safe
    # It was in use at the moment of the point, as its dirty bit says.
    fsck.vfat -a "${disk}1" || [ $? -eq 1 ]
    fsck.vfat -n "${disk}1"
    e2fsck -f -p "${disk}2" || [ $? -eq 1 ]
    e2fsck -f -n "${disk}2"
    xfs_repair -n /dev/stack/volume
    e2fsck -f -p /dev/mapper/safe || [ $? -eq 1 ]
    e2fsck -f -n /dev/mapper/safe
    vgchange -q --devices "${disk}3" --activate n stack
    cryptsetup close safe
}
"$1"
