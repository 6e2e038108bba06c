import gc
import io
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.errors import HTTPError
from container.message.form_data import FormData, MultiMapping, Params, UploadedFile
from container.message.form_limits import FormError, FormLimits
from container.message.forms import FormParser, parse_query
from container.message.headers import Headers

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"

Outcome = tuple[list[tuple[str, str]], list[tuple[str, str, bytes]]] | int


def part(name: str | None, content: bytes, filename: str | None = None, fields: str = "") -> bytes:
    disposition = "Content-Disposition: form-data"
    if name is not None:
        disposition += f'; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    return f"--b\r\n{disposition}\r\n{fields}\r\n".encode() + content + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def parse(chunks: Iterable[bytes], content_type: str = MULTIPART, **limits: Any) -> FormData:
    parser = FormParser(content_type, limits=FormLimits(**limits))
    for chunk in chunks:
        parser.feed(chunk)
    return parser.finish()


def outcome(chunks: Iterable[bytes], content_type: str = MULTIPART, **limits: Any) -> Outcome:
    """All that a form says as plain values, or the status of its error."""
    try:
        form = parse(chunks, content_type, **limits)
    except FormError as error:
        return error.status
    with form:
        uploads = [(name, upload.filename, upload.file.read()) for name, upload in form.files.items()]
        return form.items(), uploads


def split_bytes(content: bytes) -> list[bytes]:
    return [content[i : i + 1] for i in range(len(content))]


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """Every temporary file that the test makes."""
    made: list[IO[bytes]] = []
    original = tempfile.SpooledTemporaryFile

    def spool(*args: Any, **options: Any) -> IO[bytes]:
        made.append(original(*args, **options))
        return made[-1]

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", spool)
    return made


# Params


def test_params_give_first_and_all_values() -> None:
    params = Params([("q", "1"), ("r", ""), ("q", "2")])
    assert params["q"] == "1"
    assert params.get("q") == "1"
    assert params.get("r", "x") == ""
    assert params.get("z") is None
    assert params.get("z", 7) == 7
    assert params.get_all("q") == ["1", "2"]
    assert params.get_all("z") == []
    with pytest.raises(KeyError):
        params["z"]


def test_params_are_a_mapping_that_keeps_pairs() -> None:
    params = Params([("q", "1"), ("r", ""), ("q", "2")])
    assert "q" in params
    assert "z" not in params
    assert len(params) == 2
    assert list(params) == params.keys() == ["q", "r"]
    assert params.items() == [("q", "1"), ("r", ""), ("q", "2")]
    assert params.values() == ["1", "", "2"]
    assert dict(params) == {"q": "1", "r": ""}
    assert not Params()
    assert repr(params) == "Params([('q', '1'), ('r', ''), ('q', '2')])"


def test_params_are_equal_by_pairs_and_kind() -> None:
    params = Params([("q", "1")])
    assert params == Params([("q", "1")])
    assert hash(params) == hash(Params([("q", "1")]))
    assert params != Params([("q", "2")])
    assert params != MultiMapping([("q", "1")])
    assert params != FormData([("q", "1")])
    assert FormData([("q", "1")]) == FormData([("q", "1")])
    assert len({FormData(), FormData()}) == 1


def test_what_get_all_gives_is_a_copy() -> None:
    params = Params([("q", "1")])
    params.get_all("q").append("2")
    assert params.get_all("q") == ["1"]


# Queries


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("&&", []),
        ("?", [("?", "")]),
        ("s", [("s", "")]),
        ("s=", [("s", "")]),
        ("=x", [("", "x")]),
        ("a=1&a=2&b=3&a=4", [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")]),
        ("&a=1&&b=2&", [("a", "1"), ("b", "2")]),
        ("q=1&q=2&r=&s;t=4", [("q", "1"), ("q", "2"), ("r", ""), ("s;t", "4")]),
        ("u=%41+b&x=?y", [("u", "A b"), ("x", "?y")]),
        ("a=b=c&d==", [("a", "b=c"), ("d", "=")]),
        ("a%3Db=%26%3D%2B", [("a=b", "&=+")]),
        ("a=%", [("a", "%")]),
        ("a=%zz%4", [("a", "%zz%4")]),
        ("a=%C3%A4", [("a", "ä")]),
        ("a=%E4", [("a", "\ufffd")]),
        ("a=ä", [("a", "ä")]),
        ("a=\ud800", [("a", "\ufffd\ufffd\ufffd")]),
        (b"a=\xc3\xa4&b=\xe4+", [("a", "ä"), ("b", "\ufffd ")]),
    ],
)
def test_a_query_is_split_then_decoded(query: str | bytes, expected: list[tuple[str, str]]) -> None:
    assert parse_query(query).items() == expected


def test_a_query_with_too_many_pairs_is_refused() -> None:
    assert len(parse_query("&".join(f"a{i}" for i in range(1000)) + "&&&")) == 1000
    for query in ("a&" * 1000 + "a", "a" + "&" * 10_000_000 + "a"):
        with pytest.raises(FormError) as caught:
            parse_query(query)
        assert caught.value.status == 400
    assert parse_query("", max_pairs=0) == Params()


PAIRS = st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))))


@given(PAIRS.filter(lambda pairs: ("", "") not in pairs))
def test_an_encoded_query_comes_back(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(urlencode(pairs)).items() == pairs


@given(st.text() | st.binary())
def test_any_query_is_read(query: str | bytes) -> None:
    parse_query(query)


# The parser


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json; charset=utf-8", "multipart/mixed; boundary=b", ";", "ä"],
)
def test_other_media_types_are_415(content_type: str) -> None:
    with pytest.raises(FormError, match="expected a form") as caught:
        FormParser(content_type)
    assert caught.value.status == 415
    assert isinstance(caught.value, HTTPError)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="b "',
        'multipart/form-data; boundary="b;c"',
        "multipart/form-data; boundary=" + "b" * 71,
        'multipart/form-data; boundary="\xe4"',
    ],
)
def test_a_multipart_form_without_proper_boundary_is_400(content_type: str) -> None:
    with pytest.raises(FormError, match="expected a boundary") as caught:
        FormParser(content_type)
    assert caught.value.status == 400


@pytest.mark.parametrize("content_type", [URLENCODED, URLENCODED.upper(), URLENCODED + " ; charset=latin-1"])
def test_an_urlencoded_form_is_read(content_type: str) -> None:
    with parse([b"a=1&b=%C3", b"%A4+x&a=2&c"], content_type) as form:
        assert form.items() == [("a", "1"), ("b", "ä x"), ("a", "2"), ("c", "")]
        assert len(form.files) == 0


@pytest.mark.parametrize("content_type", [MULTIPART, 'Multipart/Form-Data;charset=x; Boundary="b"'])
def test_a_multipart_form_is_read(content_type: str) -> None:
    content = multipart(
        part("a", b"1"),
        part("f", b"\x00\r\n--c\r\n", "x.bin", "Content-Type: image/png\r\nX-Y: z\r\n"),
        part("a", "ä".encode(), fields="Content-Type: text/plain\r\n"),
        part("f", b"", ""),
        part(None, b"skipped"),
        part(None, b"skipped", "file"),
        part("", b"kept"),
        part("bad", b"\xff"),
    )
    with parse([content], content_type) as form:
        assert form.items() == [("a", "1"), ("a", "ä"), ("", "kept"), ("bad", "\ufffd")]
        first, second = form.files.get_all("f")
        assert (first.name, first.filename, first.content_type, first.size) == ("f", "x.bin", "image/png", 8)
        assert first.headers["x-y"] == "z"
        assert first.file.tell() == 0
        assert first.file.read() == b"\x00\r\n--c\r\n"
        assert (second.filename, second.size, second.content_type) == ("", 0, "application/octet-stream")
        assert repr(first) == "<UploadedFile 'f' 'x.bin' 8 bytes>"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"--b--", []),
        (b"--b--\r\n", []),
        (b"\r\n--b--", []),
        (b"preamble\r\n" + multipart(part("a", b"1")) + b"epilogue --b\r\n", [("a", "1")]),
        (multipart(part("a", b"1"))[:-2], [("a", "1")]),
        (
            multipart(part("a", b"1")).replace(b"--b\r", b"--b \t\r").replace(b"--b--", b"--b-- "),
            [("a", "1")],
        ),
        (
            multipart(part("a", b"1"), part("a", b"2")).replace(b"--b\r", b"--b\t \r"),
            [("a", "1"), ("a", "2")],
        ),
        (multipart(part("a", b"1")).replace(b"\r\n", b"\n"), [("a", "1")]),
        (multipart(part("a", b"")[:-2]), [("a", "")]),
        (multipart(part("a", b"\r")), [("a", "\r")]),
        (multipart(part("a", b"\r\n")), [("a", "\r\n")]),
        (multipart(part("a", b"\n--")), [("a", "\n--")]),
        (multipart(part("a", b"x--b--")), [("a", "x--b--")]),
        (multipart(part("a", b"\r\n--bc\r\n--b-")), [("a", "\r\n--bc\r\n--b-")]),
        (multipart(part("%22a%22", b"1")), [('"a"', "1")]),
    ],
)
def test_odd_but_legal_content_is_read_however_it_is_split(
    content: bytes, expected: list[tuple[str, str]]
) -> None:
    assert outcome([content]) == (expected, [])
    assert outcome(split_bytes(content)) == (expected, [])
    for i in range(len(content)):
        assert outcome([content[:i], content[i:]]) == (expected, [])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a=1",
        b"--b",
        b"--b\r\n",
        b"--c\r\n\r\n--c--",
        part("a", b"1"),
        part("a", b"1") + b"--b",
        part("a", b"1") + b"--b-",
        part("a", b"1", "file"),
        multipart(b"--b\r\n\r\n1\r\n"),
        multipart(b"--b\r\nContent-Type: text/plain\r\n\r\n1\r\n"),
        multipart(part("a", b"1").replace(b'"a"', b'"\xff"')),
    ],
)
def test_malformed_multipart_content_is_400(content: bytes) -> None:
    assert outcome([content]) == 400
    assert outcome(split_bytes(content)) == 400


FIVE = multipart(*[part("a", b"12345")] * 2)
FILES = multipart(*[part("a", b"12345", "f")] * 2)


@pytest.mark.parametrize(
    ("content_type", "content", "limit", "enough"),
    [
        (URLENCODED, b"a=1&b=2&c=3", "max_fields", 3),
        (URLENCODED, b"a=%31%32%33&b=2", "max_field_bytes", 3),
        (URLENCODED, b"a=12345&b=2", "max_text_bytes", 11),
        (MULTIPART, FIVE, "max_fields", 2),
        (MULTIPART, multipart(part(None, b"12345")), "max_fields", 1),
        (MULTIPART, FIVE, "max_field_bytes", 5),
        (MULTIPART, FIVE, "max_text_bytes", 12),
        (MULTIPART, FILES, "max_files", 2),
        (MULTIPART, FILES, "max_file_bytes", 5),
        (MULTIPART, multipart(part("a", b"")), "max_header_bytes", 42),
        (MULTIPART, b"12345\r\n" + multipart(), "max_header_bytes", 16),
    ],
)
def test_a_form_over_a_limit_is_413(content_type: str, content: bytes, limit: str, enough: int) -> None:
    for chunks in ([content], split_bytes(content)):
        assert outcome(chunks, content_type, **{limit: enough}) != 413
        assert outcome(chunks, content_type, **{limit: enough - 1}) == 413


def test_files_do_not_count_as_text() -> None:
    assert outcome([FILES], max_fields=0, max_field_bytes=0, max_text_bytes=0) != 413


def test_a_limit_acts_before_the_content_is_complete() -> None:
    parser = FormParser(MULTIPART)
    with pytest.raises(FormError, match="16384 bytes before the content"):
        deque(map(parser.feed, [b"x" * 1000] * 17), maxlen=0)


@pytest.mark.parametrize("name", ["tiny", "small", "large"])
def test_only_files_above_the_threshold_go_to_disk(spools: list[Any], name: str) -> None:
    size = {"tiny": 0, "small": 1000, "large": 1001}[name]
    with parse([multipart(part("a", b"x" * size, "f"))], spool_bytes=1000) as form:
        assert spools[0]._rolled is (name == "large")
        assert form.files["a"].file.read() == b"x" * size


def test_a_threshold_of_nothing_means_disk(spools: list[Any]) -> None:
    with parse([FILES], spool_bytes=0):
        assert all(spool._rolled for spool in spools)


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        (part("a", b"12345", "f") * 2, {}),
        (part("a", b"12345", "f") * 2 + b"--b\r\nX: y\r\n\r\n", {}),
        (FILES + b"x", {"max_file_bytes": 4}),
        (FILES, {"max_files": 1}),
    ],
)
def test_a_failure_closes_all_files(spools: list[IO[bytes]], content: bytes, limits: dict[str, int]) -> None:
    assert isinstance(outcome([content], spool_bytes=1, **limits), int)
    assert spools
    assert all(spool.closed for spool in spools)
    gc.collect()


def test_a_failing_disk_closes_all_files(spools: list[IO[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    parser = FormParser(MULTIPART)
    parser.feed(part("a", b"1", "f") + part("b", b"2", "f") + b"--b\r\n")
    monkeypatch.setattr(spools[0], "close", full)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", full)
    with pytest.raises(OSError, match="disk full"):
        parser.feed(part("c", b"3", "f")[5:])
    assert [spool.closed for spool in spools] == [False, True]
    monkeypatch.undo()
    spools[0].close()


def test_giving_up_closes_all_files(spools: list[IO[bytes]]) -> None:
    parser = FormParser(MULTIPART, limits=FormLimits(spool_bytes=1))
    parser.feed(part("a", b"12345", "f") + part("a", b"12345", "f")[:-4])
    parser.close()
    parser.close()
    assert [spool.closed for spool in spools] == [True, True]


def test_closing_the_form_closes_its_files_but_closing_the_parser_does_not() -> None:
    parser = FormParser(MULTIPART)
    parser.feed(FILES)
    form = parser.finish()
    parser.close()
    files = [upload.file for upload in form.files.values()]
    assert not any(file.closed for file in files)
    form.close()
    form.close()
    assert all(file.closed for file in files)


@pytest.mark.parametrize("end", [FormParser.finish, FormParser.close])
@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART])
def test_a_parser_is_used_once(end: Callable[[FormParser], object], content_type: str) -> None:
    parser = FormParser(content_type)
    parser.feed(b"--b--")
    end(parser)
    with pytest.raises(RuntimeError, match="expected an open form parser"):
        parser.feed(b"")
    with pytest.raises(RuntimeError, match="expected an open form parser"):
        parser.finish()


# Splits make no difference

SOUP = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b"--b", b"--", b"-", b" ", b"x", b"\r\n--b\r\n", b"\r\n--b--", b"\r\n\r\n"]
    )
).map(b"".join)
PARTS = st.lists(st.builds(part, st.sampled_from(["a", "c", None]), SOUP, st.sampled_from([None, "", "f"])))


@given(PARTS, st.data())
def test_splits_of_a_multipart_form_make_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    content = multipart(*parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)))))
    pieces = [content[i:j] for i, j in zip([0, *cuts], [*cuts, None], strict=True)]
    whole = outcome([content], spool_bytes=8)
    assert outcome(pieces, spool_bytes=8) == whole
    assert outcome(split_bytes(content), spool_bytes=8) == whole


@given(st.binary(), st.sampled_from([URLENCODED, MULTIPART]))
def test_random_bytes_are_a_form_or_a_form_error(content: bytes, content_type: str) -> None:
    assert outcome(split_bytes(content), content_type) == outcome([content], content_type)


@given(st.binary(), st.binary())
def test_random_part_headers_are_a_form_or_a_form_error(before: bytes, after: bytes) -> None:
    outcome(
        [b'--b\r\nContent-Disposition: form-data; name="a"' + before + b"\r\n\r\n" + after + b"\r\n--b--"]
    )
    outcome([b"--b\r\n" + before + b": " + after + part("a", b"1")[3:] + b"--b--"])


@given(st.text())
def test_any_content_type_is_accepted_or_a_form_error(text: str) -> None:
    for content_type in (text, "multipart/form-data;" + text, "multipart/form-data;boundary=" + text):
        try:
            FormParser(content_type).close()
        except FormError:
            pass


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\\%')), st.binary())))
def test_files_of_any_content_come_back(files: list[tuple[str, bytes]]) -> None:
    content = b"".join(
        part(quote_plus(name), content, name).replace(b"--b\r", b"--%s\r" % (b"q" * 60))
        for name, content in files
    )
    kind = "multipart/form-data; boundary=" + "q" * 60
    result = outcome([content + b"--" + b"q" * 60 + b"--"], kind)
    assert not isinstance(result, int)
    assert [(filename, content) for _, filename, content in result[1]] == files


def test_a_large_file_in_one_piece_comes_back() -> None:
    content = bytes(range(256)) * 1024 + b"\r\n--bb"
    assert outcome([multipart(part("a", content, "f"))]) == ([], [("a", "f", content)])


# Uploads


def upload(filename: str, content: bytes = b"") -> UploadedFile:
    return UploadedFile("a", filename, io.BytesIO(content), size=len(content), headers=Headers())


@pytest.mark.parametrize(
    ("filename", "safe"),
    [
        ("a.txt", "a.txt"),
        ("Ärger 1.txt", "Ärger 1.txt"),
        ("A\u0308.txt", "Ä.txt"),
        ("", "unnamed"),
        (".", "unnamed"),
        ("../..", "unnamed"),
        ("/", "unnamed"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("..\\../.bashrc", "bashrc"),
        ("a.txt. ", "a.txt"),
        ("a\0b\r\n\u202etxt.exe", "abtxt.exe"),
        ("a:b*?.txt", "a_b__.txt"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console.txt", "console.txt"),
    ],
)
def test_a_safe_filename_is_one_harmless_segment(filename: str, safe: str) -> None:
    assert upload(filename).safe_filename == safe


@given(st.text() | st.text(st.sampled_from("äф.€ "), min_size=80))
def test_any_filename_can_be_made_safe(filename: str) -> None:
    safe = upload(filename).safe_filename
    assert safe not in ("", ".", "..")
    assert not {"/", "\\", "\0"} & set(safe)
    assert len(safe.encode()) <= 255


def test_a_long_safe_filename_keeps_its_suffix() -> None:
    safe = upload("ä" * 300 + ".tar").safe_filename
    assert safe.endswith("ä.tar")
    assert len(safe.encode()) in (254, 255)


def test_an_upload_is_saved_whole_and_can_be_read_again(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"longer than before")
    with upload("a", b"content") as file:
        file.file.read(3)
        file.save(target)
        assert target.read_bytes() == b"content"
        assert file.file.read() == b"content"
    assert file.file.closed
