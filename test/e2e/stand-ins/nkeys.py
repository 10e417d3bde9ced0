"""Stands in for the package nkeys where it cannot be had: the two functions that nats-py asks of it to sign in."""
import base64

from nacl.signing import SigningKey


class KeyPair:
    def __init__(self, key):
        self._key = key

    def sign(self, data):
        return self._key.sign(bytes(data)).signature

    def wipe(self):
        self._key = None


def from_seed(seed):
    """A seed is base32 of two bytes of prefix, 32 of key and two of checksum, without padding."""
    text = bytes(seed)
    return KeyPair(SigningKey(base64.b32decode(text + b"=" * (-len(text) % 8))[2:34]))
