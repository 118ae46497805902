"""Numbers and names as a reader wants them: three significant digits, thousands separators, units."""

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""


def metric_words(name: str) -> str:
    """`ROC AUC`, `Log loss`"""
    return {"roc_auc": "ROC AUC", "brier": "Brier score"}.get(name, name.replace("_", " ").capitalize())


def count(value: int | None) -> str:
    """`336,776`"""
    return NOTHING if value is None else f"{value:,}".replace("-", _MINUS)


def figure(value: float | None, digits: int = 3) -> str:
    """`0.740`, `12.3`, `1,045`, `2.38 × 10⁻⁷`: `digits` significant ones, trailing zeros kept."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    power = int(exponent)
    sign = _MINUS if value < 0 else ""
    if power < -3:
        return f"{sign}{mantissa} × 10{str(power).translate(_SUPERSCRIPT)}"
    return f"{sign}{abs(value):,.{max(0, digits - 1 - power)}f}"


def value(value: float | None) -> str:
    """Of a column: `23`, `−21.5`; a whole number keeps all its digits."""
    whole = value is not None and float(value).is_integer() and abs(value) < 1e15
    return count(int(value)) if whole and value is not None else figure(value)


def signed(value: float) -> str:
    """`+0.0123`: a difference."""
    return figure(value) if value <= 0 else f"+{figure(value)}"


def interval(low: float | None, high: float | None) -> str:
    """`0.731–0.753`; with a negative end `−0.002 to 0.013`; empty where an end is absent."""
    if low is None or high is None:
        return ""
    return f"{figure(low)} to {figure(high)}" if low < 0 else f"{figure(low)}–{figure(high)}"


def percent(share: float | None) -> str:
    """`12.3%`; what is present but rounds to none is `<0.1%`."""
    if share is None:
        return NOTHING
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share * 100:.0f}%" if share in (0, 1) else f"{share * 100:.1f}%"


def duration(seconds: float | None) -> str:
    """`84 ms`, `4.2 s`, `42 s`, `1 m 12 s`, `1 h 05 m`."""
    if seconds is None:
        return NOTHING
    if round(seconds, 1) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def size(size_bytes: int | None) -> str:
    """`512 B`, `14.2 kB`, `1.31 MB`: powers of a thousand."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < 1000:
        return f"{size_bytes} B"
    step = min(int(math.log10(size_bytes)) // 3, 3)
    return f"{figure(size_bytes / 1000**step)} {('', 'kB', 'MB', 'GB')[step]}"


def milliseconds(value: float | None) -> str:
    """`1.24 ms`"""
    return NOTHING if value is None else f"{figure(value)} ms"
