#!/bin/bash
# Inside a guest: takes commands from the host over a virtio port, one a line, and answers each with its number, its exit
# status and what it printed. Both directions are in base64, so that a line is a line.
port=/dev/virtio-ports/steer
for _ in $(seq 200); do [ -e "$port" ] && [ -e /dev/disk/by-id/virtio-tools ] && break; sleep 0.1; done
mkdir -p /tools && mount -o ro /dev/disk/by-id/virtio-tools /tools
exec 3<>"$port"
echo "ready $(cat /proc/sys/kernel/random/boot_id)" >&3
while read -r number command <&3; do
    # A file, not a pipe: what a command leaves in the background must not hold the answer up.
    base64 -d <<<"$command" | bash -s >/run/answer 2>&1 3>&-
    status=${PIPESTATUS[1]}
    echo "$number $status $(base64 -w0 /run/answer)" >&3
done
