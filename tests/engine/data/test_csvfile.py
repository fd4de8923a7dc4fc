"""CSV: columns, headers, labels, and the row and column of every fault."""

import numpy as np
import pytest

from agentd.engine.data import DataError, DataOptions, load_data


@pytest.fixture
def write(tmp_path):
    def write(text, name="d.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_three_inputs_and_two_labels_are_three_and_two_columns(write):
    path = write("1,2,3,0.5,1.5\n4,5,6,2.5,3.5\n")

    data = load_data(path, options=DataOptions(labels=(-2, -1)))

    assert data.inputs.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.targets.tolist() == [[0.5, 1.5], [2.5, 3.5]]
    assert (data.classes, data.features, data.outputs) == (0, 3, 2)


def test_columns_are_chosen_by_name_or_position(write):
    path = write("kind,a,b,c\n1,2,3,4\n0,6,7,8\n")

    named = load_data(path, options=DataOptions(labels=("kind",), inputs=("c", "a")))
    counted = load_data(path, options=DataOptions(labels=(0,), inputs=(3, 1)))

    assert named.inputs.tolist() == counted.inputs.tolist() == [[4, 2], [8, 6]]
    assert named.labels().tolist() == [1, 0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
def test_the_delimiter_is_found(write, delimiter):
    rows = [["1.5", "2", "0"], ["-3e2", "4", "1"]]
    path = write("\n".join(delimiter.join(row) for row in rows))

    assert load_data(path).inputs.tolist() == [[1.5, 2], [-300, 4]]


@pytest.mark.parametrize("head", ["", "a,b,y\n", "\ufeffa,b,y\r\n"])
def test_a_header_is_found_where_there_is_one(write, head):
    data = load_data(write(head + "1,2,0\r\n\r\n3,4,1\r\n"))

    assert data.inputs.tolist() == [[1, 2], [3, 4]]


def test_text_labels_become_sorted_classes_and_are_checked_by_name(write):
    path = write('a,y\n1,"red"\n2,blue\n3,red\n')

    data = load_data(path)

    assert (data.names, data.labels().tolist()) == (("blue", "red"), [1, 0, 1])
    with pytest.raises(DataError, match=r"row 2, column `y`: no such class: .*, got 'red'"):
        load_data(path, names=("blue", "green"))


def test_quoted_numbers_and_cells_are_read(write):
    assert load_data(write('"1","2",0\n3,"4",1\n')).inputs.tolist() == [[1, 2], [3, 4]]


BAD = [
    ("a,b,y\n1,2,0\n3,1\n", "row 3: too few columns: expected 3 columns, got 2"),
    ("a,b,y\n1,2,0\n3,1,1,9\n", "row 3: too many columns: expected 3 columns, got 4"),
    ("a,b,y\n1,2,0\n3,x,1\n", "row 3, column `b`: no number: expected a number, got 'x'"),
    ("1,2,0\n3,,1\n", "row 2, column 2: no number: expected a number, got an empty cell"),
    ("1,2,0\n3,nan,1\n", "row 2, column 2: not a finite float32: expected a number, got 'nan'"),
    ("1,2,0\n3,1e39,1\n", "row 2, column 2: not a finite float32"),
    ("1,2,0\ninf,1,1\n", "row 2, column 1: not a finite float32"),
    ("1,abc,0\n1,2,0\n", "row 1, column 2: no number: expected a number, got 'abc'"),
    ("1,2,0\n1,2,zero\n", "row 2, column 3: no number"),
    ("1,2,0\n1,1_0,0\n", "row 2, column 2: no number"),
    ('1,2,0\n1,"2,0\n', "row 2: no CSV line"),
    ("", "no rows"),
    ("\n\n", "no rows"),
    ("5\n6\n", "row 1: too few columns: expected at least 2, got 1"),
    (b"1,2,0\n1,\xff,0\n", "row 2: not UTF-8: expected UTF-8, got byte ff"),
    (b"1,2,0\n1,\0,0\n", "row 2: a NUL byte"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_a_fault_names_file_row_and_column_in_one_line(write, text, message):
    path = write(text)

    with pytest.raises(DataError) as fault:
        load_data(path)

    told = str(fault.value)
    assert message in told
    assert told.startswith(str(path))
    assert "\n" not in told


@pytest.mark.parametrize(("label", "got"), [("7", "7"), ("-1", "-1"), ("1.5", "1.5")])
def test_a_label_out_of_range_is_named(write, label, got):
    path = write(f"a,y\n1,0\n2,{label}\n")

    with pytest.raises(
        DataError, match=rf"row 3, column `y`: label out of range: .* 0 to 2, got {got}"
    ):
        load_data(path, classes=3)


def test_unknown_columns_are_refused(write):
    path = write("a,b,y\n1,2,0\n")

    with pytest.raises(DataError, match="column `z`: no such column: expected one of a, b, y"):
        load_data(path, options=DataOptions(labels=("z",)))
    with pytest.raises(DataError, match="no such column"):
        load_data(path, options=DataOptions(labels=(3,)))
    with pytest.raises(DataError, match="both input and label"):
        load_data(path, options=DataOptions(labels=("y",), inputs=("y", "a")))


def test_targets_are_classes_or_numbers_as_asked(write):
    path = write("1,0\n2,1\n3,1\n")

    assert load_data(path).classes == 2
    assert load_data(path, options=DataOptions(target="value")).targets.tolist() == [[0], [1], [1]]
    assert load_data(write("1,0.5\n2,1\n")).classes == 0
    with pytest.raises(DataError, match="label out of range"):
        load_data(write("1,0.5\n2,1\n"), options=DataOptions(target="class"))


def test_many_rows_keep_their_numbers_across_blocks(write):
    lines = [f"{i},{i % 7},0" for i in range(9000)]
    lines[8500] = "1,oops,0"

    with pytest.raises(DataError, match="row 8501, column 2"):
        load_data(write("\n".join(lines)))
    lines[8500] = "8500,2,0"
    data = load_data(write("\n".join(lines)))
    np.testing.assert_array_equal(data.inputs[:, 0], np.arange(9000))
