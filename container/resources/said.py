"""What programs say on standard error, as the log shows it."""


def shown(line: bytes) -> str:
    """One line as text. Control characters are escaped: nobody forges a line of the log, or moves its reader's
    cursor."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\r")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
