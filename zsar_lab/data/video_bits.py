"""What bytes say by themselves: where pictures begin anew, and how far a file should reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def begins_anew(packet: bytes, codec: str, extra: bytes) -> bool:
    """Whether a key packet says that its picture, and all shown after it, refer to nothing before it."""
    if codec == "h264":
        return first_slice(packet, codec, extra)[0] & 31 == 5  # IDR
    if codec == "hevc":
        return 16 <= first_slice(packet, codec, extra)[0] >> 1 & 63 <= 21  # IRAP
    if codec == "mpeg4":
        at = packet.find(b"\0\0\1\xb6")
        return 0 <= at < len(packet) - 4 and packet[at + 4] >> 6 == 0
    if codec in ("mpeg1video", "mpeg2video"):
        at = packet.find(b"\0\0\1\0")
        return 0 <= at < len(packet) - 5 and packet[at + 5] >> 3 & 7 == 1
    if codec == "libdav1d" or codec == "av1":
        return _begins_av1(packet)
    mask = {"vp8": 0x01, "vp9": 0x0C, "theora": 0xC0, "wmv2": 0x80, "wmv1": 0xC0, "msmpeg4": 0xC0}.get(codec)
    return mask is not None and packet[0] & mask == 0


def first_slice(packet: bytes, codec: str, extra: bytes) -> bytes:
    """The two bytes of header of the first unit of H.264 or H.265 that holds a part of a picture."""
    place, size = 0, 1 + (extra[4 if codec == "h264" else 21] & 3) if extra[:1] == b"\1" else 0
    while True:
        if size:
            found, place = place + size, place + size + int.from_bytes(packet[place : place + size], "big")
        else:
            place = found = packet.find(b"\0\0\1", place) + 3
            if found < 3:
                return b"\0\0"
        header = packet[found : found + 2]
        if len(header) < 2:
            return b"\0\0"
        if 1 <= header[0] & 31 <= 5 if codec == "h264" else header[0] >> 1 & 63 < 32:
            return header


def _begins_av1(packet: bytes) -> bool:
    """Whether the first frame of a temporal unit is a key frame that is shown."""
    place = 0
    while place < len(packet):
        kind, has_extension, has_size = (
            packet[place] >> 3 & 15,
            packet[place] >> 2 & 1,
            packet[place] >> 1 & 1,
        )
        place, size, shift = place + 1 + has_extension, 0, 0
        while has_size and place < len(packet):
            size |= (packet[place] & 127) << shift
            place, shift = place + 1, shift + 7
            if not packet[place - 1] & 128:
                break
        if kind in (3, 6):  # a frame's header: not one shown before, of the key type, shown
            return place < len(packet) and packet[place] >> 4 == 1
        if not has_size:
            return False
        place += size
    return False


def promised_bytes(path: Path, container: Any, stream: Any) -> int:
    """Up to where the file's own structure says that its data reach; 0 where it does not say."""
    if "mp4" in container.format.name:
        return max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little")
    if (at := head.find(b"\x18\x53\x80\x67") + 4) > 4 and head[:4] == b"\x1a\x45\xdf\xa3":
        n_bytes = 9 - head[at].bit_length()
        size = int.from_bytes(head[at : at + n_bytes], "big") & ((1 << 7 * n_bytes) - 1)
        return at + n_bytes + size if size != (1 << 7 * n_bytes) - 1 else 0
    return 0
