"""Sends Ethernet frames as fast as asked: each line of standard input is one, in hexadecimal, until an empty line.

Arguments: interface, frames per second, seconds. The frames go round and round, in equal shares of each millisecond. A
sender that the machine kept waiting makes up for twenty milliseconds and no more: a longer burst would be another test.
Prints how many were sent and how long that took, as JSON.
"""
import ctypes
import json
import socket
import sys
import time

BATCH = 64
CATCH_UP_SECONDS = 0.02


class IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class MessageHeader(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Message(ctypes.Structure):
    _fields_ = [("header", MessageHeader), ("length", ctypes.c_uint)]


def messages_of(frames, keep):
    """struct mmsghdr for each frame (sendmmsg(2)); `keep` holds what the pointers point to."""
    messages = (Message * len(frames))()
    for message, frame in zip(messages, frames):
        memory = ctypes.create_string_buffer(frame, len(frame))
        vector = IoVector(ctypes.addressof(memory), len(frame))
        keep += [memory, vector]
        message.header.vectors = ctypes.pointer(vector)
        message.header.vector_count = 1
    return messages


def main():
    interface, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    frames = [bytes.fromhex(line) for line in iter(lambda: sys.stdin.readline().strip(), "")]
    # Whole batches, from wherever in the round they begin.
    round_length = len(frames)
    keep = []
    messages = messages_of([frames[index % round_length] for index in range(round_length + BATCH)], keep)
    size = ctypes.sizeof(Message)
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packets.bind((interface, 0))
    send = ctypes.CDLL(None, use_errno=True).sendmmsg
    send.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    start = time.monotonic()
    sent = 0
    given_up = 0
    while (elapsed := time.monotonic() - start) < seconds:
        due = int(elapsed * rate) - sent - given_up
        if due <= 0:
            time.sleep(0.0005)
            continue
        excess = max(0, due - int(CATCH_UP_SECONDS * rate))
        given_up += excess
        due -= excess
        at = ctypes.addressof(messages) + (sent % round_length) * size
        done = send(packets.fileno(), at, min(due, BATCH), 0)
        # ENOBUFS: the queue of the interface is full.
        sent += max(done, 0)
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - start}), flush=True)


main()
