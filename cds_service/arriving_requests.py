"""A request while its bytes come in: whether all of them are there.

This only decides when a thread takes the request up. What the bytes mean is for gunicorn's parser
alone, so there are no two readers who could disagree about where a request ends.
"""

import re

LARGEST_KEPT = 1024 * 1024
"""Bytes of one request; a larger one is read by a thread, once its client is known."""
LONGEST_HEAD = 64 * 1024

_END_OF_HEAD = b"\r\n\r\n"
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_CALL = re.compile(rb"POST [^ ?\r\n]*/cds-services/([^ /?\r\n]+)(/feedback)?[ ?]")
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([^\r\n]*)", re.IGNORECASE)
_AUTHORIZATION = re.compile(rb"\r\nauthorization:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[^\n]*\r\n")
_FOR_READERS = re.compile(rb"(?:GET|HEAD) [^ ?\r\n]*/knowledge/")
_FOR_OPERATORS = re.compile(rb"(?:GET|HEAD) [^ ?\r\n]*/(?:health/(?:live|ready)|metrics)[ ?]")


class ArrivingRequest:
    """The bytes of one request, and of what may follow it, as far as they are here."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.data = bytearray()
        self.has_head = False
        self.is_whole = False
        """Or so faulty that the parser will refuse it without waiting for more."""
        self._head_ends_at = 0
        self._is_chunked = False
        self._looked_at = 0
        self._ends_at = 0

    @property
    def expects_continue(self) -> bool:
        """The client waits for a word before it sends the body."""
        return _EXPECTS.search(self.data, 0, self._head_ends_at) is not None

    @property
    def is_for_operators(self) -> bool:
        """It asks for health or metrics."""
        return _FOR_OPERATORS.match(self.data) is not None

    @property
    def is_for_readers(self) -> bool:
        """It asks for the review page, the one answer that may be too large to be kept for it."""
        return _FOR_READERS.match(self.data) is not None

    @property
    def service_id(self) -> str:
        """The service that is called; empty if none is."""
        call = _CALL.match(self.data)
        return call[1].decode("ascii", "replace") if call else ""

    @property
    def is_feedback(self) -> bool:
        """It brings feedback."""
        call = _CALL.match(self.data)
        return bool(call and call[2])

    @property
    def origin(self) -> bytes:
        """What a browser says of the page that asks."""
        return self._header(_ORIGIN)

    @property
    def authorization(self) -> str:
        """What the client says of itself."""
        return self._header(_AUTHORIZATION).decode("latin-1")

    @property
    def is_too_large_to_keep(self) -> bool:
        """A thread should read the rest, or nobody."""
        return len(self.data) > (LARGEST_KEPT if self.has_head else LONGEST_HEAD)

    def add(self, piece: bytes) -> None:
        """Add what has come."""
        self.data += piece
        if not self.has_head:
            self._look_for_head()
        if self.has_head and not self.is_whole:
            self._look_for_end()

    def _header(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.search(self.data, 0, self._head_ends_at)
        return found[1] if found else b""

    def _look_for_head(self) -> None:
        # The end may have begun in the piece before.
        start = max(self._looked_at - len(_END_OF_HEAD), 0)
        end = self.data.find(_END_OF_HEAD, start)
        if end < 0:
            self.is_whole = _BARE_LINE_FEED.search(self.data, start) is not None
            self._looked_at = len(self.data)
            return
        self.has_head = True
        self._head_ends_at = self._looked_at = end + len(_END_OF_HEAD)
        self._is_chunked = _CHUNKED.search(self.data, 0, self._head_ends_at) is not None
        length = _LENGTH.search(self.data, 0, self._head_ends_at)
        self._ends_at = self._head_ends_at + (int(length[1]) if length else 0)

    def _look_for_end(self) -> None:
        if not self._is_chunked:
            self.is_whole = len(self.data) >= self._ends_at
            return
        while (end := self.data.find(b"\r\n", self._looked_at)) >= 0:
            size = _CHUNK_SIZE.match(self.data, self._looked_at, end + 2)
            if size is None:
                self.is_whole = True
                return
            if int(size[1], 16) == 0:
                # Then lines of trailers, of which there are none as a rule, and an empty one.
                self.is_whole = self.data.find(_END_OF_HEAD, end) >= 0
                return
            following = end + 2 + int(size[1], 16) + 2
            if following > len(self.data):
                return
            self._looked_at = following
