"""Who sends, as far as the address of the other end of a connection tells."""

import ipaddress

_BITS_OF_ONE_SENDER = 64
"""Of an IPv6 address: whoever has one of these has them all."""


def network_of(sender: str) -> str:
    """Return the address, or its network where one sender has a whole one."""
    try:
        address = ipaddress.ip_address(sender)
    except ValueError:
        return sender
    if isinstance(address, ipaddress.IPv4Address):
        return sender
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed, _BITS_OF_ONE_SENDER), strict=False))
