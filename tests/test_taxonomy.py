"""Taxonomies: the tree, looking names up, and reading one from a table with all its faults."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InputError
from datasets.taxonomy import ROOT_NODE, Node, Taxonomy, normal_name
from datasets.taxonomy_table import from_frame

RANKS = ("order", "family", "genus", "species")
ROWS = [
    ("Labriformes", "Labridae", "Thalassoma", "Thalassoma lunare"),
    ("Labriformes", "Labridae", "Thalassoma", "Thalassoma bifasciatum"),
    ("Labriformes", "Labridae", "Coris", "Coris aygula"),
    ("Labriformes", "Scaridae", "Scarus", "Scarus niger"),
    ("Blenniiformes", "Blenniidae", "Salarias", "Salarias fasciatus"),
]


def table(rows=ROWS, ranks=RANKS):
    return pd.DataFrame(rows, columns=list(ranks))


def fish(**options):
    return from_frame(table(), RANKS, **options).taxonomy


def changed(row, **cells):
    """The table with some cells of one row changed."""
    frame = table()
    for rank, value in cells.items():
        frame.loc[row, rank] = value
    return frame


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def random_rows(seed, species=60):
    """Rows of a random tree of four ranks in random order, and of each species several."""
    rng = np.random.default_rng(seed)
    genus = rng.integers(0, 20, species)
    family = rng.integers(0, 7, 20)
    order = rng.integers(0, 3, 7)
    rows = [
        (f"o{order[family[one]]}", f"f{family[one]}", f"g{one}", f"s{index:02}")
        for index, one in enumerate(genus)
    ]
    return [rows[place] for place in rng.permutation(np.repeat(np.arange(species), 3))]


# --- the tree


def test_leaves_keep_their_class_order_and_other_ranks_are_sorted_by_lineage():
    labels = [row[-1] for row in ROWS]
    taxonomy = fish(labels=labels)
    assert taxonomy.leaves == tuple(labels)
    assert taxonomy.names[:-1] == (
        ("Blenniiformes", "Labriformes"),
        ("Blenniidae", "Labridae", "Scaridae"),
        ("Salarias", "Coris", "Thalassoma", "Scarus"),
    )
    assert [parents.tolist() for parents in taxonomy.parents] == [
        [0, 0], [0, 1, 1], [0, 1, 1, 2], [2, 2, 1, 3, 0],
    ]  # fmt: skip
    assert fish().leaves == tuple(sorted(labels))


@pytest.mark.parametrize("seed", range(5))
def test_ancestors_and_leaves_are_those_of_the_rows(seed):
    rows = random_rows(seed)
    labels = np.random.default_rng(seed).permutation(sorted({row[-1] for row in rows})).tolist()
    reading = from_frame(table(rows), RANKS, labels)
    taxonomy = reading.taxonomy
    lineage_of = {row[-1]: row for row in rows}
    assert [labels[target] for target in reading.targets] == [row[-1] for row in rows]
    assert sorted(taxonomy.order) == list(range(len(labels)))
    for leaf, label in enumerate(labels):
        assert taxonomy.lineage(leaf) == lineage_of[label]
    for depth, rank in enumerate(RANKS, 1):
        assert taxonomy.depth_of(rank) == depth
        for index, name in enumerate(taxonomy.names[depth - 1]):
            below = {label for label, row in lineage_of.items() if row[depth - 1] == name}
            leaves = taxonomy.leaves_below(Node(depth, index))
            assert {labels[leaf] for leaf in leaves} == below
            assert len(leaves) == taxonomy.leaf_counts(depth)[index] == len(below)
            children = {row[depth] for row in rows if row[depth - 1] == name} if depth < 4 else ()
            found = taxonomy.children(Node(depth, index))
            assert {taxonomy.names[depth][child] for child in found} == set(children)
            assert (taxonomy.ancestors[depth][leaves] == index).all()
    assert sorted(taxonomy.leaves_below(ROOT_NODE)) == list(range(len(labels)))
    assert taxonomy.leaf_counts(0).tolist() == [len(labels)]


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_translated_to_any_coarser_rank(seed):
    taxonomy = from_frame(table(random_rows(seed)), RANKS).taxonomy
    for start, source in enumerate(RANKS):
        indices = np.array([[-1, *range(len(taxonomy.names[start]))]])
        for stop, target in enumerate(RANKS[: start + 1]):
            found = taxonomy.translate(indices, source, target)
            assert found.shape == indices.shape and found[0, 0] == -1
            for index, ancestor in zip(indices[0, 1:], found[0, 1:], strict=True):
                path = taxonomy.path(Node(start + 1, int(index)))
                assert path[stop] == (stop + 1, ancestor)
    with pytest.raises(ValueError, match="coarser"):
        taxonomy.translate([0], "family", "genus")
    assert "there is no rank 'tribe': the ranks are order, family" in refusal(
        taxonomy.translate, [0], "tribe", "order"
    )


def test_the_common_ancestor_is_the_deepest_one():
    taxonomy = fish()

    def common(*names):
        return taxonomy.name(taxonomy.common_ancestor(map(taxonomy.find, names)))

    assert common("Coris", "Thalassoma lunare") == "Labridae"
    assert common("Coris", "Coris aygula") == "Coris"
    assert common("Coris", "Scarus niger") == "Labriformes"
    assert common("Coris", "Salarias") == common() == "root"


def test_a_taxonomy_survives_json():
    taxonomy = fish(labels=[row[-1] for row in ROWS])
    again = Taxonomy.from_json(json.loads(json.dumps(taxonomy.to_json())))
    assert (again.ranks, again.names) == (taxonomy.ranks, taxonomy.names)
    assert (again.ancestors == taxonomy.ancestors).all()
    assert again.find("Coris") == taxonomy.find("Coris")


@pytest.mark.parametrize(
    ("names", "parents", "says"),
    [
        ((("A", "B"),), ([0, 0], [0]), "2 ranks, names of 1"),
        ((("A", "B"), ("a", "b")), ([0, 0], [0, 2]), "are not 2 taxa"),
        ((("A", "B"), ("a", "b")), ([0, 0], [1, 1]), "are not 2 taxa"),  # A has no child
        ((("A", "B"), ("a", "b", "c")), ([0, 0], [0, 1]), "the parents of 3 taxa"),
        ((("A", "B"), ("a", "a")), ([0, 0], [0, 1]), "have one name"),
    ],
)
def test_a_tree_that_is_none_is_refused(names, parents, says):
    with pytest.raises(ValueError, match=says):
        Taxonomy(("genus", "species"), names, tuple(map(np.array, parents)))


def test_inner_taxa_must_stand_sorted():
    arrays = (np.array([0, 0]), np.array([1, 0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="genus: the taxa are not sorted"):
        Taxonomy(("family", "genus", "species"), (("A", "B"), ("a", "b"), ("x", "y")), arrays)


# --- names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Coris \t aygula\u00a0", "Coris aygula"),
        ("Lace\u0301pe\u0300de", "Lac\u00e9p\u00e8de"),
        ("Salix x fragilis", "Salix × fragilis"),
        ("Salix X fragilis", "Salix × fragilis"),
        ("Salix ×fragilis", "Salix × fragilis"),
        ("x Heucherella", "× Heucherella"),
        ("×Heucherella  tiarelloides", "× Heucherella tiarelloides"),
        ("Salix alba x Salix × fragilis", "Salix alba × Salix × fragilis"),
        ("Xenia umbellata", "Xenia umbellata"),
        ("Carex xx", "Carex xx"),
        ("Salix x", "Salix x"),
        ("", ""),
    ],
)
def test_a_name_has_one_form(text, name):
    assert normal_name(text) == name
    assert normal_name(name) == name


def test_a_taxon_is_found_by_its_name():
    taxonomy = fish()
    assert taxonomy.find("Labridae") == taxonomy.find("labridae ", "Family") == Node(2, 1)
    assert taxonomy.find("family:LABRIDAE") == taxonomy.find("Labriformes/Labridae") == Node(2, 1)
    assert taxonomy.lineage(taxonomy.find("coris  aygula").index) == ROWS[2]


def test_an_unknown_name_gets_the_nearest_ones():
    taxonomy = fish()
    assert "no taxon 'Labrida': did you mean Labridae" in refusal(taxonomy.find, "Labrida")
    assert "no family 'Thalasoma'" in refusal(taxonomy.find, "Thalasoma", "family")
    assert "Thalassoma?" not in refusal(taxonomy.find, "Thalasoma", "family")
    assert "no genus 'Labridae': write family:Labridae" in refusal(
        taxonomy.find, "Labridae", "genus"
    )
    assert "no taxon 'Scaridae/Coris': write genus:Coris" in refusal(
        taxonomy.find, "Scaridae/Coris"
    )
    far = refusal(taxonomy.find, "1234567890")
    assert "give the name of a taxon of rank order, family, genus, species" in far


def test_a_name_of_several_taxa_asks_for_the_rank_or_the_parent():
    rows = [*ROWS, ("Blenniiformes", "Labridae", "Coris", "Coris sp"), ("Coris", "X", "Y", "Y z")]
    taxonomy = from_frame(table(rows), RANKS).taxonomy
    message = refusal(taxonomy.find, "Labridae")
    for key in ("family:Blenniiformes/Labridae", "family:Labriformes/Labridae"):
        assert key in message
        assert taxonomy.lineage(taxonomy.leaves_below(taxonomy.find(key))[0])[1] == "Labridae"
    message = refusal(taxonomy.find, "coris")
    assert "is the name of 3 taxa" in message
    keys = ["order:Coris", "genus:Blenniiformes/Labridae/Coris", "genus:Labriformes/Labridae/Coris"]
    found = [taxonomy.find(key) for key in keys]
    assert len(set(found)) == 3
    for key, node in zip(keys, found, strict=True):
        assert key in message
        assert taxonomy.name(node) == "Coris"


def test_a_name_that_holds_the_signs_is_found():
    taxonomy = from_frame(pd.DataFrame({"label": ["a/b", "c:d", "label:a/b"]}), ["label"]).taxonomy
    assert [taxonomy.find(name).index for name in ("a/b", "c:d", "label:a/b")] == [0, 1, 2]


def test_names_that_differ_in_capital_letters_alone_are_told_apart_by_them():
    taxonomy = from_frame(pd.DataFrame({"label": ["Ab", "ab", "c"]}), ["label"]).taxonomy
    assert [taxonomy.find(name).index for name in ("Ab", "ab", "C")] == [0, 1, 2]
    assert "write label:Ab or label:ab" in refusal(taxonomy.find, "AB")


# --- reading a table


def test_names_are_compared_in_normal_form():
    frame = changed(1, genus=" Thalassoma\u00a0", family="Labridae\u2003")
    reading = from_frame(frame, RANKS)
    assert reading.taxonomy.names == fish().names
    hybrids = [("G", "Salix x fragilis"), ("G", "Salix × fragilis"), ("G", "Salix ×fragilis")]
    reading = from_frame(table(hybrids, ("genus", "species")), ("genus", "species"))
    assert reading.taxonomy.leaves == ("Salix × fragilis",)


def test_a_label_keeps_its_spelling():
    labels = ["Salix x alba", "Salix  nigra"]
    rows = [("Salix", "Salix nigra"), ("Salix", "Salix × alba"), ("Salix", "Salix babylonica")]
    reading = from_frame(table(rows, ("genus", "species")), ("genus", "species"), labels)
    assert reading.taxonomy.leaves == tuple(labels)
    assert reading.targets.tolist() == [1, 0, -1]
    assert not len(reading.discarded)
    assert "1 species of the table are none of the classes: Salix babylonica" in reading.notes
    assert reading.taxonomy.find("Salix × alba") == (2, 0)


@pytest.mark.parametrize("empty", [None, np.nan, "", "  ", pd.NA])
@pytest.mark.parametrize("rank", RANKS)
def test_a_gap_is_refused_or_discarded(rank, empty):
    frame = changed(3, **{rank: empty})
    frame.index = [f"row-{number}" for number in range(5)]
    message = refusal(from_frame, frame, RANKS, where="fish.csv")
    assert f"fish.csv, row row-3: the rank '{rank}' is empty: fill it in" in message
    reading = from_frame(frame, RANKS, strict=False)
    assert reading.discarded["row"].tolist() == ["row-3"]
    assert reading.discarded["reason"].tolist() == [f"{rank} is empty"]
    assert reading.discarded[rank].tolist() == [""]
    assert reading.targets[3] == -1 and (np.delete(reading.targets, 3) >= 0).all()
    assert "Scarus niger" not in reading.taxonomy.leaves
    assert "1 of 5 rows discarded" in reading.notes


def test_a_rank_that_is_empty_everywhere_is_dropped():
    frame = table()
    frame.insert(0, "kingdom", None)
    frame["tribe"] = ""
    reading = from_frame(frame, ("kingdom", "order", "family", "tribe", "genus", "species"))
    assert reading.taxonomy.ranks == RANKS
    assert reading.notes == (
        "rank kingdom is empty and left out",
        "rank tribe is empty and left out",
    )
    frame["species"] = ""
    assert "the column 'species' is empty" in refusal(from_frame, frame, RANKS)


def test_two_parents_are_refused_and_both_named():
    rows = [*ROWS, ROWS[2], ("Labriformes", "Labridae", "Thalassoma", "Coris aygula")]
    message = refusal(from_frame, table(rows), RANKS)
    assert "row 6: species 'Coris aygula' stands under two of rank genus" in message
    assert "'Coris' (2 rows) and 'Thalassoma' (1 row)" in message
    rows += [("Labriformes", "Scaridae", "Thalassoma", "Thalassoma lunare")]
    assert "(2 species are like this)" in refusal(from_frame, table(rows), RANKS)


def test_the_rarer_lineages_are_discarded_and_listed():
    other = ("Labriformes", "Labridae", "Thalassoma", "Coris aygula")
    moved = ("Labriformes", "Scaridae", "Coris", "Coris aygula")
    rows = [other, *ROWS, ROWS[2], ROWS[2], other, moved, ("", "", "", "Coris aygula")]
    reading = from_frame(table(rows), RANKS, strict=False)
    assert reading.taxonomy.names == fish().names
    assert reading.discarded["row"].tolist() == [0, 8, 9, 10]
    assert reading.discarded["reason"].tolist() == [
        "genus is 'Thalassoma' (2 rows), but mostly 'Coris' (3 rows)",
        "genus is 'Thalassoma' (2 rows), but mostly 'Coris' (3 rows)",
        "family is 'Scaridae' (1 row), but mostly 'Labridae' (3 rows)",
        "order is empty",
    ]
    assert reading.discarded["family"].tolist() == ["Labridae", "Labridae", "Scaridae", ""]
    assert np.flatnonzero(reading.targets < 0).tolist() == [0, 8, 9, 10]


def test_of_equally_frequent_lineages_the_first_by_name_counts():
    rows = [("B", "x"), ("A", "x"), ("B", "y")]
    for order in ([0, 1, 2], [1, 0, 2]):
        frame = table([rows[place] for place in order], ("genus", "species"))
        reading = from_frame(frame, ("genus", "species"), strict=False)
        assert reading.taxonomy.lineage(0) == ("A", "x")


def test_homonyms_are_taxa_of_their_own_and_are_noted():
    rows = [*ROWS, ("Labriformes", "Scaridae", "Coris", "Coris other")]
    reading = from_frame(table(rows), RANKS)
    assert reading.taxonomy.names[2].count("Coris") == 2
    assert reading.notes == (
        "genus: homonyms, each taken as a taxon per parent: Coris (Labridae, Scaridae)",
    )
    assert from_frame(table(), RANKS).notes == ()


def test_a_homonym_does_not_repeat_itself_down_the_ranks():
    rows = [("A", "X", "g", "g a"), ("B", "X", "g", "g b")]
    assert from_frame(table(rows), RANKS).notes == (
        "family: homonyms, each taken as a taxon per parent: X (A, B)",
    )


def test_what_is_missing_is_named():
    assert "no column 'tribe': it has order, family" in refusal(from_frame, table(), ("tribe",))
    assert "has no row" in refusal(from_frame, table([]), RANKS)
    assert "has no rank" in refusal(from_frame, table(), ())
    message = refusal(from_frame, table(), RANKS, ["Coris aygula", "Labrus mixtus"])
    assert "the table has no row for the class 'Labrus mixtus'" in message
    message = refusal(from_frame, table(), RANKS, ["Coris aygula", "Coris  aygula"])
    assert "'Coris aygula' and 'Coris  aygula' are one species" in message
    frame = pd.DataFrame({"genus": ["A", None], "species": [None, "b"]})
    message = refusal(from_frame, frame, ("genus", "species"), strict=False)
    assert "has no row with all of genus, species" in message


def test_numbers_and_categories_are_names_too():
    frame = table().astype("category")
    assert from_frame(frame, RANKS).taxonomy.names == fish().names
    frame = pd.DataFrame({"genus": [1, 1, 2], "species": [10, 11, 12]})
    assert from_frame(frame, ("genus", "species")).taxonomy.leaves == ("10", "11", "12")


def test_memory_beside_the_table_grows_with_rows_by_a_few_numbers_each():
    rows = 40_000
    frame = table(random_rows(0)).sample(rows, replace=True, random_state=0, ignore_index=True)
    tracemalloc.start()
    from_frame(frame, RANKS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows * 400  # bytes; the cells as Python strings would take more
