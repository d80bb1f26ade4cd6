"""Sends IPv4 packets as they are: each line of standard input is one, header included, in hexadecimal.

Argument: the interface. The kernel fills in the header checksum and the total length, nothing else (raw(7)).
"""
import socket
import sys

SO_BINDTODEVICE = 25

packets = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
packets.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, sys.argv[1].encode())
for line in sys.stdin:
    packet = bytes.fromhex(line)
    packets.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
    print("sent", flush=True)
