"""Files of boxes: the forms that people and programs write them in, and what is wrong with others."""

import re

import numpy as np
import pytest

from sapiens_mlx.boxes import read_boxes
from sapiens_mlx.errors import BoxError
from sapiens_mlx.tasks.detect import DetectResult

PEOPLE = [[1, 2, 3, 4], [5, 6, 7, 8.5]]


@pytest.mark.parametrize(
    "text",
    [
        "x1;y1;x2;y2\r\n1;2;3;4\r\n5;6;7;8.5\r\n",
        "1\t2\t3\t4\n5\t6\t7\t8.5",
        "file,score,x1,y1,x2,y2\na.jpg,0.9,1,2,3,4\na.jpg,0.8,5,6,7,8.5\n",
        "Left, Top, Right, Bottom\n1, 2, 3, 4\n5, 6, 7, 8.5\n",
        " X1 , Y1 , X2 , Y2 \n1,2,3,4\n,,,\n5,6,7,8.5\n",
        '[{"box_xyxy": [1, 2, 3, 4], "score": 0.9}, {"box_xyxy": [5, 6, 7, 8.5]}]',
        '{"people": [[1, 2, 3, 4], [5, 6, 7, 8.5, 0.9]]}',
        '{"boxes_xyxy": [["1", "2", "3", "4"], ["5", "6", "7", "8.5"]]}',
    ],
)
def test_a_form_that_people_write_is_not_read(tmp_path, text):
    path = tmp_path / "boxes"
    path.write_bytes(text.encode("utf-8"))
    assert read_boxes(path) == PEOPLE


def test_what_the_detector_writes_is_not_read_back(tmp_path):
    found = DetectResult(np.zeros((9, 9, 3), np.uint8), np.float32(PEOPLE), np.float32([0.9, 0.8]))
    path = next(path for path in found.save(tmp_path, "a") if path.suffix == ".json")
    assert read_boxes(path) == PEOPLE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it holds no box"),
        ("[]", "it holds no box"),
        ("x1,y1,x2,y2\n", "it holds no box"),
        ("1,2,3,4\n5,6,7\n", "line 2 has 3 numbers, not 4"),
        ("1,2,3,4\n\n5,6,b,8\n", "line 3 holds something that is not a number"),
        ("[[1, 2, 3, 4], [1, 2, null, 4]]", "box 2 holds something that is not a number"),
        ('[{"bbox": [1, 2, 3, 4]}]', 'a person has no "box_xyxy"'),
        ('{"boxes": [[1, 2, 3, 4]]}', 'neither "boxes_xyxy" nor "people"'),
        ('["1234"]', "box 1 is not four numbers"),
        ("[" * 100_000, "is not a list of boxes"),
        (f"[[1, 2, 3, 1{'0' * 400}]]", "box 1 holds something that is not a number"),
        (f"[[1, 2, 3, {'9' * 5000}]]", "is not a list of boxes"),
        ("1,2,3,4\n" * 600_000, "it is larger than 4 MB"),
    ],
)
def test_what_is_wrong_with_a_file_is_not_said(tmp_path, text, says):
    path = tmp_path / "boxes"
    path.write_text(text)
    with pytest.raises(BoxError, match=re.escape(says)):
        read_boxes(path)


def test_a_file_that_is_not_there_or_no_text_is_no_sentence(tmp_path):
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0")
    for path in (tmp_path / "photo", tmp_path, tmp_path / "nowhere", "~nobody-is-called-so/boxes", "bo\0xes", "~a\0b"):
        with pytest.raises(BoxError, match=r"cannot be read\. Give a JSON or CSV file"):
            read_boxes(path)
