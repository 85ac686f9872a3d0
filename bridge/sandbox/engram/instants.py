"""Instants as the server keeps them: whole nanoseconds since 1970 in UTC, read and printed in RFC 3339.

Python's datetime ends at microseconds and at the year 9999; the server goes beyond both.
"""

import re
import time
from datetime import date, timedelta

_SECOND = 1_000_000_000
_DAY = 86_400
# The Gregorian calendar repeats after 400 years, so any year can be reckoned within Python's range.
_CYCLE_DAYS = 146_097
_EPOCH = date(1970, 1, 1)
# What the server's own calendar can hold, in seconds: about 262,000 years either way.
_FURTHEST = 8_210_000_000_000

_FORM = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?\s*(?:([Zz])|([+-])(\d\d):?(\d\d))", re.ASCII)


def now() -> int:
    """The present."""
    return time.time_ns()


def parse(text: str) -> int:
    """The instant that an RFC 3339 text with a zone names; ValueError says what is wrong with it."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("a timestamp must be RFC 3339 with a zone, such as 2024-01-01T00:00:00Z")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("the time of day of the timestamp is out of range")
    # The year 0 exists in RFC 3339; the same year of another cycle is within Python's range.
    near = 2000 + year % 400
    days = (date(near, month, day) - _EPOCH).days + (year - near) // 400 * _CYCLE_DAYS
    fraction = int((match[7] or "0")[:9].ljust(9, "0"))
    offset = 0
    if match[9]:
        offset = (int(match[10]) * 60 + int(match[11])) * (60 if match[9] == "+" else -60)
    return (days * _DAY + hour * 3600 + minute * 60 + second - offset) * _SECOND + fraction


def of_protobuf(seconds: int, nanos: int) -> int | None:
    """The instant of a protobuf Timestamp; None where the server's calendar cannot hold it."""
    if abs(seconds) > _FURTHEST or not 0 <= nanos < _SECOND:
        return None
    return seconds * _SECOND + nanos


def with_offset(instant: int) -> str:
    """As get and list print it: 2024-01-01T00:00:00+00:00."""
    return _local(instant) + "+00:00"


def with_z(instant: int) -> str:
    """As the answers to writes and recall print it: 2024-01-01T00:00:00Z."""
    return _local(instant) + "Z"


def _local(instant: int) -> str:
    seconds, nanos = divmod(instant, _SECOND)
    days, second = divmod(seconds, _DAY)
    cycles, day = divmod(days, _CYCLE_DAYS)
    civil = _EPOCH + timedelta(days=day)
    year = civil.year + 400 * cycles
    years = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    text = f"{years}-{civil.month:02d}-{civil.day:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return text + _fraction(nanos)


def _fraction(nanos: int) -> str:
    """Nothing, or three, six or nine digits, whichever is enough."""
    if nanos == 0:
        return ""
    if nanos % 1_000_000 == 0:
        return f".{nanos // 1_000_000:03d}"
    if nanos % 1_000 == 0:
        return f".{nanos // 1_000:06d}"
    return f".{nanos:09d}"
