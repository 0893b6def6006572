"""Class distances from matrices, trees and taxonomic columns, and what is wrong with such files."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from Bio import Phylo

from datasets.class_distances import from_csv, from_newick, from_taxonomy, read_class_distances
from datasets.errors import InputError

CSV = ",A,B,C\nA,0,1,4\nB,1,0,4.5\nC,4,4.5,0\n"
TREE = "((A:1,B:2):3,(C:0.5,D:0.25)90:4);"
ACB = [[0, 4, 1], [4, 0, 4.5], [1, 4.5, 0]]


@pytest.fixture
def write(tmp_path):
    def write(text, name="distances.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_matrix_comes_in_the_order_of_the_labels(write, delimiter, mark):
    path = write(mark + CSV.replace(",", delimiter))
    found = from_csv(path, ("A", "C", "B"))
    assert found.dtype == np.float64
    assert found.tolist() == ACB
    assert from_csv(path, ("C", "A")).tolist() == [[0, 4], [4, 0]]  # B is passed over


def test_rows_may_stand_in_another_order_than_columns(write):
    lines = CSV.splitlines()
    path = write("\n".join([lines[0], lines[3], "", lines[1], lines[2], ""]))
    assert from_csv(path, ("A", "C", "B")).tolist() == ACB


def test_rounded_digits_are_symmetric_enough(write):
    path = write(CSV.replace("B,1,", "B,1.0000005,"))
    found = from_csv(path, ("A", "B"))
    assert (found == found.T).all()
    assert found[0, 1] == pytest.approx(1.00000025, rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("4.5,0\n", "4.5,0\nD,1,1,1\n", "not square: 'D' is among the rows and not among the col"),
        (",A,B,C", ",A,B,D", "not square: 'C' is among the rows"),
        ("C,4,4.5,0\n", "", "not square: 'C' is among the columns and not among the rows"),
        ("B,1,0,4.5", "B,1,0", "line 3: 2 distances, but 3 columns"),
        ("B,1,0,4.5", "B,1.00001,0,4.5", "row 'A', column 'B': 1, but 1.00001 the other way"),
        ("A,0,1,4", "A,0,-1,4", "row 'A', column 'B': -1 is negative"),
        ("B,1,0,4.5", "B,1,0.5,4.5", "row 'B', column 'B': 0.5 on the diagonal"),
        ("B,1,0,4.5", "B,1,0,far", "row 'B', column 'C' holds 'far'"),
        ("B,1,0,4.5", 'B,1,0,"4,5"', "row 'B', column 'C' holds '4,5'"),
        ("B,1,0,4.5", "B,1,0,nan", "row 'B', column 'C' holds 'nan'"),
        ("B,1,0,4.5", "B,1,0,inf", "row 'B', column 'C' holds 'inf'"),
        ("B,1,0,4.5", "B,1,0,", "row 'B', column 'C' holds an empty cell"),
        (",A,B,C", ",A,B,B", "2 columns are named 'B'"),
        ("C,4,4.5,0", "B,4,4.5,0", "2 rows are named 'B'"),
        (CSV, "", "holds no matrix"),
        (CSV, "A\nB\n", "holds no matrix"),
        (CSV, ",A,B\nA,0,0\nB,0,0\n", "distance zero from each other"),
    ],
)
def test_a_matrix_that_cannot_be_used_is_one_clear_line(write, old, new, says):
    assert old in CSV
    path = write(CSV.replace(old, new))
    message = refusal(from_csv, path, ("A", "B"))
    assert says in message
    assert str(path) in message


def test_a_missing_label_is_named(write):
    assert "no row for class 'E'" in refusal(from_csv, write(CSV), ("A", "E"))
    assert "no tip for class 'E'" in refusal(from_newick, write(TREE), ("A", "E"))


def test_files_that_cannot_be_read_are_named(tmp_path):
    for function in (from_csv, from_newick, read_class_distances):
        assert "no such file" in refusal(function, tmp_path / "none.txt", ("A",))
        assert "no such file" in refusal(function, tmp_path, ("A",))
    (tmp_path / "latin").write_bytes(b",\xe9,B\n\xe9,0,1\nB,1,0\n")
    assert "not UTF-8" in refusal(read_class_distances, tmp_path / "latin", ("B",))


def test_labels_are_found_without_regard_to_case_and_underscores(write):
    csv = ",Acer_rubrum,  acer  Saccharum,Quercus\nAcer_rubrum,0,1,2\n"
    path = write(csv + "acer  Saccharum,1,0,3\nQuercus,2,3,0\n")
    assert from_csv(path, ("Acer saccharum", "quercus", "acer rubrum")).tolist() == [
        [0, 3, 1], [3, 0, 2], [1, 2, 0],
    ]  # fmt: skip
    tree = write("((Acer_rubrum:1,'Acer saccharum':1):2,Quercus:3);", "tree.nwk")
    assert from_newick(tree, ("Acer rubrum", "QUERCUS", "acer_saccharum")).tolist() == [
        [0, 6, 2], [6, 0, 6], [2, 6, 0],
    ]  # fmt: skip


def test_an_exact_name_goes_before_a_similar_one(write):
    path = write(",a b,A_b\na b,0,1\nA_b,1,0\n")
    assert from_csv(path, ("A_b", "a b")).tolist() == [[0, 1], [1, 0]]
    assert "'a b' and 'A_b' cannot be told apart for" in refusal(from_csv, path, ("A b",))
    twice = write(",a b,c\na b,0,1\nc,1,0\n")
    assert "'a b' and 'A_B' cannot be told apart" in refusal(from_csv, twice, ("a b", "A_B"))


def test_a_tree_gives_the_sums_of_its_branches(write):
    expected = [[0, 3, 8.5, 8.25], [3, 0, 9.5, 9.25], [8.5, 9.5, 0, 0.75], [8.25, 9.25, 0.75, 0]]
    assert from_newick(write(TREE), tuple("ABCD")).tolist() == expected
    found = from_newick(write(TREE), ("D", "A"))
    assert found.tolist() == [[0, 8.25], [8.25, 0]]


def random_tree(tips, seed):
    """Newick of a random tree with nodes of two or three children."""
    rng = np.random.default_rng(seed)
    parts = [f"t{tip}:{rng.uniform(0.1, 2):.4f}" for tip in range(tips)]
    while len(parts) > 3:
        taken = [parts.pop(rng.integers(len(parts))) for _ in range(rng.integers(2, 4))]
        parts.append(f"({','.join(taken)}):{rng.uniform(0.1, 2):.4f}")
    return f"({','.join(parts)}):5;"


def test_a_tree_agrees_with_walking_it_pair_by_pair(write):
    text = random_tree(30, seed=0)
    labels = [f"t{tip}" for tip in np.random.default_rng(1).permutation(30)[:20]]
    tree = Phylo.read(StringIO(text), "newick")
    expected = [[tree.distance(first, second) for second in labels] for first in labels]
    found = from_newick(write(text), labels)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found == found.T).all()


def test_a_tree_deeper_than_python_recurses_is_read(write):
    text = "t0:1"
    for tip in range(1, 2000):
        text = f"({text},t{tip}:1):1"
    found = from_newick(write(text + ";"), ("t0", "t1", "t1999"))
    assert found.tolist() == [[0, 2, 2000], [2, 0, 2000], [2000, 2000, 0]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(A,(B:1,C:1):1);", "the branch to 'A' has no length"),
        ("((A:1,B:1),C:1);", "an inner branch has no length"),
        ("((A:1,B:-0.5):1,C:1);", "the branch to 'B' has the length -0.5"),
        ("((A:1,B:1):1,A:1);", "2 tips are named 'A'"),
        ("((A:1,B:1):1,C:1;", "no Newick tree: Mismatch"),
        ("(A:1,B:1)):1,C:1);", "no Newick tree: Parenthesis mismatch"),
        ("(A:1,B:1); and more", "no Newick tree: Text after semicolon"),
        ("(A:1,B:1);\n(A:2,B:2);\n", "holds 2 trees"),
        ("", "holds no tree"),
        ("A", "holds no tree"),
        ("#NEXUS\nbegin trees;\n", "is a NEXUS file: export"),
        ("((A:0,B:0):1,C:1);", "distance zero from each other"),
        ("(A:1,c:1);", "no tip for class 'B'"),
    ],
)
def test_a_tree_that_cannot_be_used_is_one_clear_line(write, text, says):
    path = write(text, "tree.nwk")
    message = refusal(from_newick, path, ("A", "B"))
    assert says in message
    assert str(path) in message


def test_suffix_and_content_tell_trees_from_matrices(write):
    labels = ("A", "C", "B")
    assert read_class_distances(write(CSV), labels).tolist() == ACB
    assert read_class_distances(write(CSV, "matrix.txt"), labels).tolist() == ACB
    for name in ("t.nwk", "t.NEWICK", "t.tree", "t.tre", "t.txt"):
        assert read_class_distances(write(TREE, name), labels)[0, 2] == 3
    assert read_class_distances(write("[&R] " + TREE, "t.txt"), labels)[0, 2] == 3
    assert "holds no tree" in refusal(read_class_distances, write("", "t.tre"), labels)
    assert "NEXUS" in refusal(read_class_distances, write("#NEXUS\n", "t.nex"), labels)


def taxa(**classes):
    """A table with two samples of each class: label -> (family, genus)."""
    rows = [(label, *names) for label, names in classes.items() for _ in range(2)]
    return pd.DataFrame(rows, columns=["label", "family", "genus"])


def test_kinship_counts_the_ranks_up_to_the_common_one():
    frame = taxa(a=("F", "G"), b=("F", "G"), c=("F", "H"), d=("E", "I"))
    labels = ("a", "b", "c", "d")
    expected = [[0, 1, 2, 3], [1, 0, 2, 3], [2, 2, 0, 3], [3, 3, 3, 0]]
    assert from_taxonomy(frame, labels, ("family", "genus")).tolist() == expected
    assert from_taxonomy(frame, labels[::-1], ("family", "genus"))[0].tolist() == [0, 3, 3, 3]
    genus = [[0, 1, 2, 2], [1, 0, 2, 2], [2, 2, 0, 2], [2, 2, 2, 0]]
    assert from_taxonomy(frame, labels, ("genus",)).tolist() == genus


def test_the_label_itself_is_no_rank():
    frame = taxa(a=("F", "G"), b=("F", "G"), c=("F", "H"))
    frame["species"] = frame["label"]
    with_species = from_taxonomy(frame, "abc", ("family", "genus", "species"))
    assert (with_species == from_taxonomy(frame, "abc", ("family", "genus"))).all()


def test_an_epithet_in_two_genera_makes_no_kin():
    frame = taxa(a=("F", "alba"), b=("E", "alba"), c=("F", "alba"))
    found = from_taxonomy(frame, "abc", ("family", "genus"))
    assert found.tolist() == [[0, 3, 1], [3, 0, 3], [1, 3, 0]]


def test_a_missing_rank_is_filled_by_the_class_or_in_common_with_nobody():
    frame = taxa(a=("F", "G"), b=("F", "G"), c=("F", None), d=("F", " "), e=(np.nan, "G"))
    frame.loc[0, "genus"] = None  # the other sample of `a` knows it
    found = from_taxonomy(frame, "abcde", ("family", "genus"))
    assert found[0].tolist() == [0, 1, 2, 2, 1]
    assert found[2].tolist() == [2, 2, 0, 2, 3]


def test_a_taxonomy_that_cannot_be_used_is_one_clear_line():
    frame = taxa(a=("F", "G"), b=("F", "G"))
    message = refusal(from_taxonomy, frame, "ab", ("order", "genus"))
    assert "no column 'order'; it has label, family, genus" in message
    assert "no taxonomic column" in refusal(from_taxonomy, frame, "ab", ())
    assert "no taxonomic column" in refusal(from_taxonomy, frame, "ab", ("label",))
    assert "no sample of class 'z'" in refusal(from_taxonomy, frame, "az", ("genus",))
    frame.loc[1, "genus"] = "H"
    message = refusal(from_taxonomy, frame, "ab", ("family", "genus"))
    assert "samples of 'a' differ in 'genus' ('G' and 'H')" in message
