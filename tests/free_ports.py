"""TCP ports that nobody else is about to take."""

from __future__ import annotations

import random
import socket

# Below those that Linux gives to clients and to whoever asks for any port: it would give ours away before we listen.
_PORTS = range(20_000, 32_000)
# Tests in random order begin with the same seed in each process.
_chance = random.SystemRandom()


def free_ports(number: int) -> list[int]:
    """Find as many ports on which nobody listens, neither at the loopback address nor at all of them."""
    found: set[int] = set()
    while len(found) < number:
        port = _chance.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.add(port)
    return list(found)
