"""A network namespace of which every packet can be seen: all routes lead to the loopback device."""

import contextlib
import ctypes
import fcntl
import socket
import struct
import threading
from typing import Final

_SIOCADDRT: Final = 0x890B
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_UP: Final = 1
_ANY: Final = struct.pack("HH12x", socket.AF_INET, 0)
_ALL_PROTOCOLS: Final = 3
_ETHERNET: Final = 14
_SYN_OF: Final = (0x02, 0x12)
"""Value and mask of the TCP flags of the first packet of a connection: SYN without ACK."""


def route_everything_to_loopback() -> None:
    """Bring the loopback device up, and make it the default route.

    Without a route, `connect` would fail before it sends a packet, and no packet would show the attempt.
    """
    device = ctypes.create_string_buffer(b"lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = fcntl.ioctl(handle, _SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags = struct.unpack("16sh22x", request)[1]
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _UP))
        numbers = (_UP, *[0] * 8, ctypes.addressof(device), 0, 0, 0)
        route = struct.pack("L16s16s16sHhLBB3hhPLLH", 0, _ANY, _ANY, _ANY, *numbers)
        fcntl.ioctl(handle, _SIOCADDRT, route)
    # A kernel without IPv6 has no address to leave by either.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as handle:
        index = socket.if_nametoindex("lo")
        fcntl.ioctl(handle, _SIOCADDRT, struct.pack("16s16s16sIHHILIi", b"", b"", b"", 0, 0, 0, 1, 0, _UP, index))


class Destinations:
    """Where new TCP connections and UDP datagrams of this namespace go, since `watch`."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, int]] = set()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._socket.bind(("lo", 0))

    def watch(self) -> None:
        """Begin; in a thread that ends with the process."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            found = _destination(self._socket.recv(65535)[_ETHERNET:])
            if found is not None:
                self.seen.add(found)


def _destination(packet: bytes) -> tuple[str, str, int] | None:
    """Protocol, address and port of a packet that begins something; None for any other packet."""
    if packet[0] >> 4 == 4:  # of the Internet Protocol
        protocol, address = packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
        body = packet[(packet[0] & 15) * 4 :]
    else:
        protocol, address, body = packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[40:]
    if protocol == socket.IPPROTO_UDP:
        return "udp", address, int.from_bytes(body[2:4], "big")
    value, mask = _SYN_OF
    if protocol == socket.IPPROTO_TCP and body[13] & mask == value:
        return "tcp", address, int.from_bytes(body[2:4], "big")
    return None
