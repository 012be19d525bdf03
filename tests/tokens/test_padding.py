"""Signatures whose PKCS #1 v1.5 padding is almost right, made with the pool's own private key."""

import hashlib
from collections.abc import Iterator

from resource_server.tokens import errors
from tests.tokens.doubles import Forge, encoded, private_key

# The DigestInfo of RFC 8017 section 9.2: SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }.
SHA256_OID = bytes.fromhex("608648016503040201")
SIZE = 256  # bytes of a signature with 2048 bits


def tlv(tag: int, value: bytes, length: bytes | None = None) -> bytes:
    """Encode one element, with a length that may be a lie or not the shortest."""
    return bytes([tag]) + (bytes([len(value)]) if length is None else length) + value


def mutations(tag: int, value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ways to write an element that a lenient reader takes for the same."""
    size = len(value)
    for name, length in {
        "long form": bytes([0x81, size]),
        "leading zero in the length": bytes([0x82, 0, size]),
        "length one more": bytes([size + 1]),
        "length one less": bytes([max(0, size - 1)]),
        "length of 2^32 and more": b"\x85\x01" + size.to_bytes(4),
        "length of 2^64 and more": b"\x89\x01" + size.to_bytes(8),
        "length of 2^31 - 1": b"\x84\x7f\xff\xff\xff",
        "length of 2^64 - 1": b"\x88" + b"\xff" * 8,
        "indefinite length, not ended": b"\x80",
    }.items():
        yield name, tlv(tag, value, length)
    yield "indefinite length", tlv(tag, value + b"\0\0", b"\x80")
    yield "missing", b""
    yield "tag alone", bytes([tag])
    yield "no value", tlv(tag, b"")
    yield "zeros within, at the end", tlv(tag, value + b"\0\0")
    yield "zeros within, in front", tlv(tag, b"\0\0" + value)
    yield "zeros after it", tlv(tag, value) + b"\0\0"
    yield "NULL within", tlv(tag, value + b"\x05\0")
    yield "garbage within, in front", tlv(tag, b"\x49\x81\x77" + value)
    yield "garbage after it", tlv(tag, value) + b"\xde\xad\xbe\xef"
    yield "undefined tag after it", tlv(tag, value) + b"\xbf\x7f\0"
    yield "an empty one after it", tlv(tag, value) + tlv(tag, b"")
    yield "twice", tlv(tag, value) * 2
    yield "in itself", tlv(tag, tlv(tag, value))
    yield "as NULL", b"\x05\0"
    yield "cut short", tlv(tag, value)[:-1]
    yield "cut in front", tlv(tag, value[1:])
    yield "first byte changed", tlv(tag, bytes([value[0] ^ 1]) + value[1:] if value else b"\1")
    yield "last byte changed", tlv(tag, value[:-1] + bytes([value[-1] ^ 1]) if value else b"\2")
    for other in (0x00, 0x01, 0x03, 0x2E, 0x32, 0x80, 0xFF):
        if other != tag:
            yield f"tag {other:#04x}", tlv(other, value)


def digest_infos(digest: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every DigestInfo with one element mutated."""
    oid, null, octets = tlv(6, SHA256_OID), tlv(5, b""), tlv(4, digest)
    for name, element in mutations(6, SHA256_OID):
        yield f"OID: {name}", tlv(0x30, tlv(0x30, element + null) + octets)
    for name, element in mutations(5, b""):
        yield f"NULL: {name}", tlv(0x30, tlv(0x30, oid + element) + octets)
    for name, element in mutations(0x30, oid + null):
        yield f"algorithm: {name}", tlv(0x30, element + octets)
    for name, element in mutations(4, digest):
        yield f"digest: {name}", tlv(0x30, tlv(0x30, oid + null) + element)
    for name, element in mutations(0x30, tlv(0x30, oid + null) + octets):
        yield f"whole: {name}", element


def padded(info: bytes, start: bytes = b"\0\1", filler: int = 0xFF) -> bytes:
    """Fill a DigestInfo up to the size of the key (RFC 8017 section 9.2)."""
    return start + bytes([filler]) * (SIZE - len(start) - 1 - len(info)) + b"\0" + info


def test_a_padding_that_is_not_exact_is_refused(forge: Forge) -> None:
    """Whatever a lenient reader would take for the same: never accepted."""
    numbers = private_key(forge.keys.access).private_numbers()
    signed = ".".join(forge.parts()[:2])
    digest = hashlib.sha256(signed.encode()).digest()
    good = tlv(0x30, tlv(0x30, tlv(6, SHA256_OID) + tlv(5, b"")) + tlv(4, digest))
    verifier = forge.verifier()

    def sign(message: bytes) -> str:
        # Modulo each prime (RFC 8017 section 5.1.2): a quarter of the time.
        number = int.from_bytes(message)
        by_p = pow(number, numbers.dmp1, numbers.p)
        by_q = pow(number, numbers.dmq1, numbers.q)
        signature = by_q + numbers.q * ((by_p - by_q) * numbers.iqmp % numbers.p)
        return f"{signed}.{encoded(signature.to_bytes(SIZE))}"

    assert verifier.verify(sign(padded(good))), "the way of signing is right"
    messages = {name: padded(info) for name, info in digest_infos(digest) if info != good}
    messages |= {
        "padding of zeros": padded(good, filler=0),
        "block type 0": padded(good, start=b"\0\0"),
        "block type 2": padded(good, start=b"\0\2"),
        "first byte 1": padded(good, start=b"\1\1"),
        "no zero before the digest": b"\0\1" + b"\xff" * (SIZE - 2 - len(good)) + good,
        "short padding, garbage behind": (b"\0\1" + b"\xff" * 8 + b"\0" + good).ljust(SIZE, b"\0"),
        "digest alone": padded(digest),
        "zero": bytes(SIZE),
        "one": bytes(SIZE - 1) + b"\1",
    }
    assert len(messages) > 150
    accepted = []
    for name, message in messages.items():
        try:
            verifier.verify(sign(message))
        except errors.BadSignature:
            continue
        accepted.append(name)
    assert accepted == []
