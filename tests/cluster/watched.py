"""A command in a network of its own, in which every packet of every process is seen: `watched.py ARGUMENTS`.

Started by `unshare --net`. All addresses lead to the one interface, so that what is meant for another machine, a name
server's too, becomes a packet instead of an error. Prints, as JSON, the command's exit code, where packets went that
were not for this machine, and at which addresses any process listened.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

OWN = "198.51.100.1"
MARK = ("203.0.113.9", 9)  # of documentation: a packet that must be seen


def main(arguments: list[str]) -> None:
    for line in (f"addr add {OWN}/32 dev lo", "link set lo up", "route add default dev lo"):
        subprocess.run(["ip", *line.split()], check=True)
    sent: set[str] = set()
    listening: set[str] = set()
    over = threading.Event()
    threads = [threading.Thread(target=look, args=(sent, over)), threading.Thread(target=ports, args=(listening, over))]
    for thread in threads:
        thread.start()
    from pe_nnunet.cli import main as command

    code = command(arguments)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", MARK)
    time.sleep(0.5)
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"code": code, "sent": sorted(sent), "listening": sorted(listening)}))


def look(sent: set[str], over: threading.Event) -> None:
    """Where packets go, loopback left out."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as all_packets:
        all_packets.settimeout(0.2)
        while not over.is_set():
            try:
                packet, (_, protocol, *_) = all_packets.recvfrom(65535)
            except TimeoutError:
                continue
            raw = packet[16:20] if protocol == 0x0800 else packet[24:40]
            if not (address := ipaddress.ip_address(raw)).is_loopback and str(address) != OWN:
                sent.add(str(address))


def ports(listening: set[str], over: threading.Event) -> None:
    """Local addresses of all TCP sockets that listen."""
    while not over.wait(0.2):
        for name in ("tcp", "tcp6"):
            for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
                place, state = line.split()[1], line.split()[3]
                if state == "0A":  # in words of the machine's own order
                    words = bytes.fromhex(place.split(":")[0])
                    raw = b"".join(words[k : k + 4][::-1] for k in range(0, len(words), 4))
                    address = ipaddress.ip_address(raw)
                    listening.add(str(getattr(address, "ipv4_mapped", None) or address))


if __name__ == "__main__":
    main(sys.argv[1:])
