#!/bin/sh
# The guest's first process: modules, the data partition, the config drive, the network, then the application.
export PATH=/bin

load() {
    while read -r module; do
        options=
        # Where the host makes the tap with offloads, a userspace switch drops segments whose checksum is left to it.
        [ "$module" = virtio_net.ko ] && options="csum=0 gso=0"
        insmod "/modules/$module" $options
    done <"/modules/$1"
}

wait_for() {
    tries=50
    until [ -e "$1" ] || [ $tries = 0 ]; do usleep 100000; tries=$((tries - 1)); done
    [ -e "$1" ]
}

find_config() {
    for device in "$@"; do
        mount -t iso9660 -o ro "$device" /config 2>/dev/null && [ -d /config/openstack ] && return
    done
    false
}

/bin/busybox mount -t proc none /proc # from here on busybox finds its own commands, by /proc/self/exe
mount -t sysfs none /sys; mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
load modules
acpid -f -c /etc/acpi -l /dev/null &
wait_for /dev/vda2 && mount -t ext4 -o noatime /dev/vda2 /data || echo "GUEST-FAIL no data partition"
BOOTS=$(($(cat /data/boots 2>/dev/null || echo 0) + 1))
echo $BOOTS >/data/boots.new; sync; mv /data/boots.new /data/boots; sync
BOOT_ID=$(cat /proc/sys/kernel/random/boot_id)

find_config /dev/vd[b-z] || { load cdrom; wait_for /dev/sr0 && find_config /dev/sr0; } || echo "no config drive"
NAME=guest
while IFS='=' read -r key value; do
    case $key in ROLE | NAME | ADDRESS | MTU | GATEWAY | HOSTS) export "$key=$value" ;; esac
done </config/openstack/latest/user_data
umount /config 2>/dev/null

hostname "$NAME"
{ echo "127.0.0.1 localhost"; echo "$HOSTS" | tr ',' '\n' | sed -n 's/^\(.*\)=\(.*\)$/\2 \1/p'; } >/etc/hosts
ip link set lo up
[ -n "$MTU" ] && ip link set eth0 mtu "$MTU"
ip link set eth0 up
if [ -n "$ADDRESS" ]; then
    ip addr add "$ADDRESS" dev eth0
    [ -n "$GATEWAY" ] && ip route add default via "$GATEWAY"
else
    udhcpc -f -i eth0 -s /etc/dhcp.sh -t 100 -T 2 -A 2 &
fi

export ROLE NAME BOOT_ID BOOTS HOSTS
(
    echo -1000 >/proc/self/oom_score_adj
    while :; do /bin/tiers; sleep 1; done
) &
while sleep 1; do read -r _ && setsid cttyhack sh; done # Enter opens a shell on the console
