"""Prints what hosts send, seen on their bridge ports: VRRP, ARP and neighbor advertisements, a line of JSON each.

Arguments: names of ports. Times are CLOCK_MONOTONIC milliseconds. Runs in the bridge's namespace.
"""
import ctypes
import ipaddress
import json
import selectors
import socket
import struct
import sys
import time

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
PROTOCOL_VRRP, PROTOCOL_ICMPV6, NEIGHBOR_ADVERTISEMENT = 112, 58, 136
SO_ATTACH_FILTER = 26
PACKET_OUTGOING = 4
SNAP_LENGTH = 256

# Classic BPF, so that the clients' TCP traffic does not reach Python: (code, jump if true, jump if false, k).
LOAD_HALF, LOAD_BYTE, JUMP_EQUAL, RETURN = 0x28, 0x30, 0x15, 0x06
FILTER = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 7, 0, ETH_P_ARP),
    (JUMP_EQUAL, 0, 2, ETH_P_IP),
    (LOAD_BYTE, 0, 0, 23),
    (JUMP_EQUAL, 4, 5, PROTOCOL_VRRP),
    (JUMP_EQUAL, 0, 4, ETH_P_IPV6),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 1, 0, PROTOCOL_VRRP),
    (JUMP_EQUAL, 0, 1, PROTOCOL_ICMPV6),
    (RETURN, 0, 0, SNAP_LENGTH),
    (RETURN, 0, 0, 0),
]


def attach_filter(packets):
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in FILTER)
    memory = ctypes.create_string_buffer(program)
    packets.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(FILTER), ctypes.addressof(memory))
    )


def vrrp(source, destination, message):
    kind, vrid, priority, count = message[:4]
    return {
        "kind": "vrrp",
        "version": kind >> 4,
        "vrid": vrid,
        "priority": priority,
        "count": count,
        "source": str(source),
        "destination": str(destination),
    }


def describe(frame):
    """What the frame is, or None for what nobody asks about."""
    (ether_type,) = struct.unpack_from("!H", frame, 12)
    body = frame[14:]
    if ether_type == ETH_P_ARP:
        sender, target = ipaddress.IPv4Address(body[14:18]), ipaddress.IPv4Address(body[24:28])
        return {"kind": "arp", "sender": str(sender), "target": str(target), "gratuitous": sender == target}
    if ether_type == ETH_P_IP:
        header_length = (body[0] & 0x0F) * 4
        return vrrp(ipaddress.IPv4Address(body[12:16]), ipaddress.IPv4Address(body[16:20]), body[header_length:])
    source, destination = ipaddress.IPv6Address(body[8:24]), ipaddress.IPv6Address(body[24:40])
    if body[6] == PROTOCOL_VRRP:
        return vrrp(source, destination, body[40:])
    if body[40] != NEIGHBOR_ADVERTISEMENT:
        return None
    target = ipaddress.IPv6Address(body[48:64])
    return {"kind": "na", "target": str(target), "unsolicited": destination.is_multicast}


def main():
    selector = selectors.DefaultSelector()
    for port in sys.argv[1:]:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        attach_filter(packets)
        packets.bind((port, ETH_P_ALL))
        selector.register(packets, selectors.EVENT_READ, port)
    print(json.dumps({"ready": True}), flush=True)
    while True:
        for key, _ in selector.select():
            frame, address = key.fileobj.recvfrom(SNAP_LENGTH)
            # What goes out of the port comes from another host: it is counted there.
            if address[2] == PACKET_OUTGOING:
                continue
            described = describe(frame)
            if described is not None:
                print(json.dumps({"atMs": time.monotonic() * 1000, "port": key.data, **described}), flush=True)


main()
