#!/bin/sh
# Called by udhcpc; an MTU from the config drive goes before the server's.
case $1 in
deconfig) ip link set "$interface" up ;;
bound | renew)
    ip addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    [ -n "$router" ] && ip route add default via "${router%% *}"
    [ -n "$mtu" ] && [ -z "$MTU" ] && ip link set "$interface" mtu "$mtu"
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    ;;
esac
