"""Any CSV with a header that Python's csv module writes is read back: values, columns, labels."""

import csv
import gzip
import io

import numpy as np
import pytest

from agentd.engine.data import Columns, DataError, DataOptions, load_data, load_inputs, open_data

NAME_PARTS = [
    "a",
    "Länge",
    "(cm)",
    " ",
    ";",
    ",",
    "|",
    "\t",
    '"',
    "\n",
    "\r\n",
    "'",
    "0",
    "x1",
    "é",
]
FORMATS = ["{:.3f}", "{:g}", "{:+.2e}", "{!r}", "{:.0f}", " {:.1f}"]


def names(rng, count):
    """Return different names of odd characters; no two alike, none a number, blank or an index."""
    found: list[str] = []
    while len(found) < count:
        name = "".join(rng.choice(NAME_PARTS, rng.integers(1, 6))).strip() + f"_{len(found)}"
        found.append(name)
    return found


def written(rng, rows, header):
    """Return a CSV text of the csv module, in any of its forms."""
    out = io.StringIO()
    quoting = [csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC][rng.integers(3)]
    delimiter = ",;\t|"[rng.integers(4)]
    end = ["\n", "\r\n", "\r"][rng.integers(3)]
    if quoting == csv.QUOTE_MINIMAL:  # it quotes only its own line end: csv itself cannot read \n
        end = "\r\n"
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue(), f"{delimiter=} {quoting=} {end=}"


@pytest.mark.parametrize("seed", range(100))
def test_what_the_csv_module_writes_is_read_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    width, count = int(rng.integers(2, 7)), int(rng.integers(1, 40))
    at, header = int(rng.integers(width)), names(rng, width)
    form = FORMATS[rng.integers(len(FORMATS))]
    values = rng.normal(0, 10.0 ** rng.integers(-2, 5), (count, width)).round(4)
    cells = [[form.format(float(v)) for v in row] for row in values]
    text_labels = bool(rng.integers(2))
    for i, row in enumerate(cells):
        row[at] = ["red; dark", "blue", 'gr"een'][i % 3] if text_labels else str(i % 3)
    text, how = written(rng, cells, header)
    path = tmp_path / ("d.csv.gz" if seed % 5 == 0 else "d.csv")
    path.write_bytes(gzip.compress(text.encode()) if seed % 5 == 0 else text.encode())

    data = load_data(path, options=DataOptions(labels=(header[at],)))

    rest = [i for i in range(width) if i != at]
    wanted = np.array([[float(row[i]) for i in rest] for row in cells], np.float32)
    np.testing.assert_array_equal(data.inputs, wanted, err_msg=how)
    assert data.columns is not None
    assert data.columns.names == tuple(header)
    assert (data.columns.inputs, data.columns.labels) == (tuple(rest), (at,))
    told = [data.names[c] for c in data.labels()] if text_labels else data.labels().tolist()
    assert told == [row[at] if text_labels else int(row[at]) for row in cells]


@pytest.fixture
def write(tmp_path):
    def write(text, name="d.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("text", "inputs", "names"),
    [
        ("sepal length (cm),width (cm),target\n1.5,2,0\n3,4,1\n", [[1.5, 2], [3, 4]], 3),
        ('"a;b;c;d","e;f",label\n1,2,0\n3,4,1\n', [[1, 2], [3, 4]], 3),
        ("Länge;Breite;Art\n1,5;2;rot\n3,25;-4,0;blau\n", [[1.5, 2], [3.25, -4]], 3),
        ("1,5;2,5;0\n3,5;4,5;1\n", [[1.5, 2.5], [3.5, 4.5]], 0),
        ("  1.5   2.5  0\n 3.5    4.5  1\n", [[1.5, 2.5], [3.5, 4.5]], 0),
        ("1.5,2.5,a b\n3.5,4.5,c d\n", [[1.5, 2.5], [3.5, 4.5]], 0),
        ("0,1,2\n1.5,2,0\n3,4,1\n", [[1.5, 2], [3, 4]], 3),
        ("label,p0,p1\n0,1,2\n1,3,4\n", [[1, 2], [3, 4]], 3),
        (",a,b,y\n0,1,2,0\n1,3,4,1\n2,5,6,0\n", [[1, 2], [3, 4], [5, 6]], 4),
        ("PassengerId,a,b,y\n1,1,2,0\n2,3,4,1\n3,5,6,0\n", [[1, 2], [3, 4], [5, 6]], 4),
        ("gdp,2019,2020,y\n1,2,3,0\n4,5,6,1\n", [[1, 2, 3], [4, 5, 6]], 0),
        ("1,2,0\n3,4,1\n", [[1, 2], [3, 4]], 0),
        ("1,2,3\n4,5,6\n", [[1, 2], [4, 5]], 0),
    ],
)
def test_the_form_is_found(write, text, inputs, names):
    if text.startswith("gdp"):  # one text among numbers is no header
        with pytest.raises(DataError, match=r"row 1, column 1: no number"):
            load_data(write(text))
        return
    data = load_data(write(text))

    assert data.inputs.tolist() == inputs
    assert data.columns is not None
    assert len(data.columns.names) == names


def test_an_index_column_is_left_out_or_told(write):
    assert (
        "column Id left out: it numbers the rows"
        in load_data(
            write("Id,a,b,y\n" + "".join(f"{i},{i % 3},2,{i % 2}\n" for i in range(9)))
        ).description
    )
    told = load_data(write("".join(f"{i},{i % 3},{i % 2}\n" for i in range(9)))).description
    assert "column 1 numbers the rows but is learned from" in told


def test_another_file_is_read_by_name_or_by_position(write):
    first = load_data(write("a,b,y\n1,2,0\n3,4,1\n"))

    def read(text):
        return load_data(write(text, "other.csv"), like=first.columns).inputs.tolist()

    assert read("y,extra,b,a\n0,9,2,1\n1,9,4,3\n") == [[1, 2], [3, 4]]
    assert read("1,2,0\n3,4,1\n") == [[1, 2], [3, 4]]
    with pytest.raises(DataError, match="column `b`: no such column: expected one of a, c, y"):
        read("a,c,y\n1,2,0\n")
    with pytest.raises(DataError, match="another number of columns: expected 3, got 4"):
        read("1,2,3,0\n3,4,5,1\n")


UNLABELLED = ("b,a\n2,1\n4,3\n", "1,2\n3,4\n", "b,y,a\n2,x,1\n4,z,3\n", "1,2,0\n3,4,1\n")


@pytest.mark.parametrize("text", UNLABELLED)
def test_rows_need_no_labels_to_be_answered(write, text):
    like = Columns((0, 1), (2,), 3, ("a", "b", "y"))

    assert load_inputs(write(text), 2, like=like).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "not UTF-8: expected UTF-8, got UTF-16; save it as UTF-8"),
        (gzip.compress(b"1,2,0\n3,4,1\n" * 99, mtime=0)[:-12], "truncated gzip"),
        (gzip.compress(b"1,2,0\n", mtime=0)[:14] + b"\xff" * 9, "gzip"),
        (gzip.compress(b"", mtime=0), "no rows"),
        (b"\xef\xbb\xbf", "no rows"),
        (b"a,b,y\n", "no rows"),
        (b'1,2,0\n3,"4,1\n5,6,0\n', "row 2: no CSV line: unexpected end of data"),
        (b"1;2;0\n1,5;1.5;1\n", "row 2, column 2: no number: expected a number, got '1.5'"),
        (b"a,a,y\n1,2,0\n", "column `a`: two columns of that name"),
    ],
)
def test_a_damaged_file_is_one_clear_line(write, data, message):
    path = write(data)
    options = DataOptions(inputs=("a",)) if b"a,a" in data else None

    with pytest.raises(DataError) as fault:
        load_data(path, options=options)

    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_columns_may_be_many_and_a_quote_may_stay_open_for_long(write):
    head = ",".join(f'"p\n{i}"' for i in range(700))
    rows = "\n".join(",".join(str((i * j) % 9) for j in range(700)) for i in range(20))

    reader = open_data(write(head + "\n" + rows))

    assert reader.shape == (699,)
    assert reader.columns is not None
    assert reader.columns.names[:2] == ("p\n0", "p\n1")
