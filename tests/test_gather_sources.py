"""Lists of pictures: GBIF, FishBase, FishPix, and the verb that fetches them."""

import json
import zipfile

import pytest

import models.commands.gather
from datasets import load_table
from datasets.downloads import PictureRecord, licence_code
from datasets.errors import InputError
from datasets.fish_pages import read_pages
from datasets.gbif import read_archive, species_name
from datasets.web import Fetcher
from tests.local_server import QUICK, picture, rows
from tests.typed import refused, typed

# --- names and licences


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Amphiprion clarkii (Bennett, 1830)", "Amphiprion clarkii"),
        ("Amphiprion (Actinicola) percula Lacepède", "Amphiprion percula"),
        ("Amphiprion × leucokranos Allen, 1973", "Amphiprion leucokranos"),
        ("Amphiprion Bloch & Schneider, 1801", ""),
        ("Amphiprion sp. 1", ""),
        ("amphiprion clarkii", ""),
        ("", ""),
    ],
)
def test_a_scientific_name_is_reduced_to_genus_and_epithet(text, name):
    assert species_name(text) == name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("http://creativecommons.org/licenses/by-nc/4.0/legalcode", "cc-by-nc"),
        ("https://creativecommons.org/licenses/by/4.0/", "cc-by"),
        ("CC_BY_NC_4_0", "cc-by-nc"),
        ("CC BY-NC-SA 2.0", "cc-by-nc-sa"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("CC0_1_0", "cc0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("© A. Diver, all rights reserved", "other"),
        ("not CC-BYE", "other"),
        ("", "unknown"),
    ],
)
def test_a_licence_has_one_code(text, code):
    assert licence_code(text) == code


# --- GBIF

META = """<?xml version="1.0"?>{doctype}
<archive xmlns="http://rs.tdwg.org/dwc/text/">
  <core encoding="UTF-8" fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1"
        rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>occurrence.txt</location></files><id index="1"/>
    <field index="0" term="http://rs.tdwg.org/dwc/terms/scientificName"/>
    <field index="2" term="http://rs.gbif.org/terms/1.0/species"/>
  </core>
  <extension encoding="UTF-8" fieldsTerminatedBy="," fieldsEnclosedBy="&quot;"
        ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/Multimedia">
    <files><location>{media}</location></files><coreid index="0"/>
    <field index="2" term="http://purl.org/dc/terms/identifier"/>
    <field index="1" term="http://purl.org/dc/terms/type"/>
    <field index="3" term="http://purl.org/dc/terms/creator"/>
    <field term="http://purl.org/dc/terms/license" default="CC_BY_4_0"/>
  </extension>
</archive>"""
OCCURRENCES = (
    "name\tid\tspecies\n"
    'Amphiprion clarkii "Bennett"\t11\tAmphiprion clarkii\n'
    "Amphiprion ocellaris Cuvier, 1830\t12\t\n"
    "Amphiprion Bloch, 1801\t13\t\n"
)
MEDIA = (
    "id,kind,where,who\n"
    '11,StillImage,{0}/a.jpg,"Diver, A."\n'
    "11,MovingImage,{0}/a.mp4,B\n"
    "12,http://purl.org/dc/dcmitype/StillImage,{0}/b.jpg,C\n"
    "13,StillImage,{0}/genus.jpg,D\n"
    "99,StillImage,{0}/nobody.jpg,E\n"
)


def archive(path, at="http://x", **members):
    """A download as GBIF makes it; a member that is None is left out."""
    members = {
        "meta.xml": META.format(doctype="", media="multimedia.txt"),
        "occurrence.txt": OCCURRENCES,
        "multimedia.txt": MEDIA.format(at),
        **{name.replace("_", "."): text for name, text in members.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            if text is not None:
                file.writestr(name, text)
    return path


def test_an_archive_is_read_as_its_meta_xml_says(tmp_path):
    first, second = read_archive(archive(tmp_path / "0001.zip"))
    page = "https://www.gbif.org/occurrence/"
    assert first == PictureRecord(
        "Amphiprion clarkii",
        "gbif",
        "11",
        "http://x/a.jpg",
        f"{page}11",
        "CC_BY_4_0",
        "",
        "Diver, A.",
    )
    assert (second.label, second.address) == ("Amphiprion ocellaris", "http://x/b.jpg")


def test_an_unpacked_archive_without_meta_xml_is_read_by_its_headers(tmp_path):
    (tmp_path / "occurrence.txt").write_text(
        "gbifID\tlicense\treferences\tspecies\n7\tCC0_1_0\thttp://page\tAmphiprion clarkii\n"
    )
    (tmp_path / "multimedia.txt").write_text(
        "gbifID\ttype\tformat\tidentifier\tlicense\trightsHolder\n"
        "7\tStillImage\timage/jpeg\thttp://x/a\t\tA museum\n"
        "7\t\tvideo/mp4\thttp://x/v.jpg\t\t\n"
        "7\t\t\thttp://x/c.PNG\t\t\n"
        "7\t\t\thttp://x/page\t\t\n"
    )
    found = list(read_archive(tmp_path))
    assert [one.address for one in found] == ["http://x/a", "http://x/c.PNG"]
    assert (found[0].page, found[0].licence, found[0].rights_holder) == (
        "http://page",
        "",
        "A museum",
    )


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"meta_xml": META.format(doctype="", media="../../etc/passwd")}, "which is not there"),
        (
            {"meta_xml": META.format(doctype="<!DOCTYPE a [<!ENTITY b 'c'>]>", media="&b;")},
            "declares a DOCTYPE",
        ),
        ({"meta_xml": META[:300]}, "meta.xml"),
        (
            {"meta_xml": META.format(doctype="", media="multimedia.txt").replace("UTF-8", "hex")},
            "hex",
        ),
        ({"meta_xml": None, "multimedia_txt": None}, "no column gbifID|nor multimedia.txt"),
        ({"meta_xml": None, "occurrence_txt": None}, "neither meta.xml nor occurrence.txt"),
        ({"meta_xml": None, "occurrence_txt": "gbifID\tyear\n1\t2\n"}, "has no column species"),
        ({"occurrence_txt": "x" * 2**23}, "a line is too long"),
    ],
)
def test_a_bad_archive_is_refused_in_one_line(tmp_path, members, complaint):
    place = archive(tmp_path / "bad.zip", **members)
    with pytest.raises(InputError, match=complaint) as refusal:
        list(read_archive(place))
    assert str(tmp_path) in str(refusal.value) and "download" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_damaged_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "whole.zip").read_bytes()
    at = whole.index(b"occurrence.txt") + 20
    for data in (b"no zip", whole[: len(whole) // 2], whole[:at] + b"\xff" * 30 + whole[at + 30 :]):
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(InputError, match="cannot be read"):
            list(read_archive(tmp_path / "bad.zip"))
    with pytest.raises(InputError, match="does not exist"):
        list(read_archive(tmp_path / "none.zip"))


# --- FishBase and FishPix

FISHBASE = """<html><head><title>Pictures</title></head><body>
<img src="/images/gifs/logo.gif"><i>Amphiprion clarkii</i>
<table><tr><td><a href="/photos/PicturesSummary.php?ID=1">
<img src="/images/thumbnails/jpg/tn_Amcla_u0.jpg"></a><br>(Amcla_u0.jpg) by
<a href="/collaborators/CollaboratorSummary.php?id=5">Randall, J.E.</a></td>
<td><img src='workimagethumb.php?s={at}/tools/UploadPhoto/uploads/1.jpg&w=300'>
<i>Amphiprion ocellaris</i> <!-- CC BY 4.0 --> CC BY-NC 4.0</td>
<td><img src="/images/species/Amcla_d0.gif"> a drawing</td></tr></table>{filler}
<a href="{more}">next</a></body></html>"""
FISHPIX = """<html><head><meta charset="shift_jis"></head><body><img src="../img/title.jpg">
<span class="captionTimes">3 hits</span><table>{entries}</table></body></html>"""
ENTRY = """<tr><td><img src="../photos/NR00{0}/{0}004AI.jpg" height="130"></td><td>
<span class="result">{1}</span><span class="captionTimes">
<a href="detail?START={2}&amp;SPECIES=A">KPM-NR {0}004</a></span></td></tr>"""


def test_fishbase_pages_and_those_that_follow_on_the_same_host(server):
    more, other = server.at("/photos/2"), server.at("/photos/3", "localhost")
    fills = {"at": "http://store.example", "filler": "x" * 700}
    page = FISHBASE.format(more="2", **fills).encode()
    address = server.show("/photos/1?Genus=Amphiprion&Species=clarkii", page, "text/html")
    for path, following in (("/photos/2", other), ("/photos/3", "1")):
        text = FISHBASE.replace("Amcla_u0", "Amper_u9").replace("clarkii", "perideraion")
        server.show(path, text.format(more=following, **fills).encode(), "text/html")
    with Fetcher(QUICK) as fetcher:
        found = list(read_pages("fishbase", address, fetcher))
    assert server.asked["/photos/2"] == 1 and server.asked["/photos/3"] == 0
    assert found[0] == PictureRecord(
        "Amphiprion clarkii",
        "fishbase",
        "Amcla_u0",
        server.at("/images/species/Amcla_u0.jpg"),
        address,
        creator="Randall, J.E.",
    )
    assert found[1].address == "http://store.example/tools/UploadPhoto/uploads/1.jpg"
    assert (found[1].label, found[1].licence) == ("Amphiprion ocellaris", "CC BY-NC 4.0")
    assert [(one.label, one.page) for one in found[2:3]] == [("Amphiprion perideraion", more)]
    assert len(found) == 4


def test_fishpix_pages_counted_by_their_hits(server):
    first = ENTRY.format(10, "Amphiprion clarkii (Bennett, 1830)", 1)
    first += ENTRY.format(11, "Amphiprion sp.", 2)
    third = ENTRY.format(
        12, "クマノミ</span><span class='resultHelvetica'>Amphiprion frenatus Brevoort", 3
    )
    for path, entries in (("SPECIES=%83N", first), ("SPECIES=%83N&START=3", third)):
        text = FISHPIX.format(entries=entries).encode("shift_jis")
        server.show(f"/fishimage-e/search?{path}", text, "text/html")
    with Fetcher(QUICK) as fetcher:
        found = list(read_pages("fishpix", server.at("/fishimage-e/search?SPECIES=%83N"), fetcher))
    assert [(one.label, one.source_id) for one in found] == [
        ("Amphiprion clarkii", "KPM-NR 10004"),
        ("Amphiprion frenatus", "KPM-NR 12004"),
    ]
    assert found[0].address == server.at("/photos/NR0010/10004AF.jpg")
    assert found[0].page == server.at("/fishimage-e/detail?START=1&SPECIES=A")
    assert sum(server.asked.values()) == 2


def test_saved_pages_know_where_they_came_from(tmp_path):
    origin = "https://fishpix.example/fishimage-e/search?START=1"
    mark = f"<!-- saved from url=(0046){origin} -->\n"
    entry = ENTRY.format(10, "Amphiprion clarkii (Bennett)", 1)
    saved = entry.replace("../photos/NR0010/", "./search_files/")
    for text, base in ((mark + entry, "fishpix.example"), (saved, "fishpix.kahaku.go.jp")):
        (tmp_path / "page.html").write_text(text)
        (found,) = read_pages("fishpix", str(tmp_path / "page.html"), None)
        assert found.address == f"https://{base}/photos/NR0010/10004AF.jpg"


def test_a_page_without_pictures_is_refused(server, tmp_path):
    (tmp_path / "page.html").write_bytes(b"\xff\xfe\x00<html><img><img src='http://['></html>")
    with Fetcher(QUICK) as fetcher:
        for place in (tmp_path / "page.html", tmp_path / "none.html", server.at("/gone")):
            with pytest.raises(InputError, match="shows no picture|cannot be read"):
                list(read_pages("fishbase", str(place), fetcher))


# --- the verb


def gather(capsys, *words):
    return typed(capsys, "gather", *words)


@pytest.fixture
def download(server, tmp_path):
    """An archive of two pictures, the second of which is missing."""
    server.show("/a.jpg", picture())
    return archive(tmp_path / "0001.zip", server.at("")), tmp_path / "to"


def test_gather_says_what_it_had(capsys, download):
    place, to = download
    code, out, _ = gather(capsys, "gbif", place, "--to", to, "--rate", 0)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{to}: 1 fetched, 0 there already, 1 failed"
    assert lines[1:3] == ["species: Amphiprion clarkii 1", "licences: cc-by 1"]
    assert lines[-1].startswith("failed: Amphiprion ocellaris, http://127.0.0.1")
    code, out, _ = gather(capsys, "gbif", place, "--to", to, "--rate", 0, "--json", "--limit", 1)
    answer = json.loads(out)
    assert (code, answer["fetched"], answer["present"], answer["failed"]) == (0, 0, 1, [])
    assert [row["status"][:6] for row in rows(to)] == ["ok", "failed"]


def test_gathered_pictures_have_their_taxa(capsys, server, tmp_path):
    for name in "ab":
        server.show(f"/{name}.jpg", picture())
    lineage = "\t".join(["Animalia", "Chordata", "Teleostei", "Perciformes", "Pomacentridae"])
    header = "\t".join(
        ["gbifID", "kingdom", "phylum", "class", "order", "family", "genus", "species"]
    )
    rows = [
        f"{key}\t{lineage}\tAmphiprion\tAmphiprion {name}"
        for key, name in ((1, "clarkii"), (2, "ocellaris"))
    ]
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "occurrence.txt").write_text("\n".join([header, *rows, ""]))
    media = [
        f"{key}\tStillImage\t{server.at(f'/{name}.jpg')}"
        for key, name in ((1, "a"), (2, "b"), (2, "gone"))
    ]
    (tmp_path / "0001" / "multimedia.txt").write_text(
        "\n".join(["gbifID\ttype\tidentifier", *media, ""])
    )
    code, out, _ = gather(capsys, "gbif", tmp_path / "0001", "--to", tmp_path / "to", "--rate", 0)
    assert code == 0 and f"the taxa of each one: {tmp_path / 'to' / 'observations.csv'}" in out
    table = load_table("observations", str(tmp_path / "to"), ("image",))
    assert table.frame["label"].tolist() == ["Amphiprion clarkii", "Amphiprion ocellaris"]
    assert table.ranks[3:5] == ("order", "family") and not table.left_out
    assert set(table.frame["family"]) == {"Pomacentridae"}


def test_gather_refuses_in_one_line(capsys, server, download, tmp_path):
    place, to = download
    page = tmp_path / "page.html"
    page.write_text("<html></html>")
    for words, complaint in (
        (["gbif", place, "--licences", "cc0"], "there are cc-by 2"),
        (["gbif", place, "--licences", "cc0,gpl"], "'gpl' is no licence"),
        (["gbif", place, "--rate", "-1"], "no number of seconds"),
        (["gbif", place, "--rate", "soon"], "no number of seconds"),
        (["gbif", place, "--limit", "0"], "no number from 1 on"),
        (["gbif", place, "--speed", "1"], "gather has no option --speed"),
        (["google", place], "invalid choice"),
        (["gbif", tmp_path / "none.zip"], "does not exist"),
        (["fishpix", page], "shows no picture"),
    ):
        code, out, (line,) = gather(capsys, *words, "--to", to)
        assert (code, out) == (2, "")
        assert line.startswith("error: ") and complaint in line
        assert not to.exists()
    assert "--to" in refused(capsys, "gather", "gbif", place)
    server.routes.clear()
    code, out, lines = gather(capsys, "gbif", place, "--to", to, "--rate", 0)
    assert (code, out) == (2, "")
    assert "none of 2 pictures could be fetched" in lines[-1]


def test_gather_can_be_interrupted(capsys, download, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    place, to = download
    monkeypatch.setattr(models.commands.gather, "gather", interrupt)
    code, _, lines = gather(capsys, "gbif", place, "--to", to)
    assert code == 130
    assert any("the same command goes on" in line for line in lines)
