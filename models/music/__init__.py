from models.about import About

ABOUT = About(
    intended=(
        "Giving the tracks of a collection the genres of its own librarian, and research on "
        "what artists share."
    ),
    unsuited=(
        "Deciding who is paid or recommended; music of cultures or times that the training data "
        "lack, whose genres it cannot know; artists that were in no training part, if the split "
        "was not made by artist."
    ),
    ethics=(
        "Genres are conventions, contested and marked by markets and by race; a label is no "
        "property of a track. Recordings are protected: this run holds none but those in "
        "`examples.npz`, which you should leave out where their licence forbids passing them "
        "on. A model that knows artists can be turned to tell who made a recording."
    ),
    cite="""@inproceedings{kim2018artist,
  title = {Transfer Learning of Artist Group Factors to Musical Genre Classification},
  author = {Kim, Jaehun and Won, Minz and Serra, Xavier and Liem, Cynthia C. S.},
  booktitle = {WWW '18 Companion: The 2018 Web Conference Companion},
  year = {2018},
  doi = {10.1145/3184558.3191823}
}""",
)
