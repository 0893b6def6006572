"""Multimodal triplet classifier (paper 000)."""

from models.about import About

ABOUT = About(
    intended=(
        "Telling related species apart by a standardised picture and a few measurements of a "
        "specimen, where some species have a handful of specimens."
    ),
    unsuited=(
        "Describing or naming species; specimens photographed otherwise than the training ones; "
        "localities that the training data lack, where the figures above do not hold unless the "
        "split was made by site."
    ),
    ethics=(
        "A name that is wrong goes on into collections, red lists and studies: let a person who "
        "knows the group confirm what matters, and state the probability beside the name. "
        "Localities of rare snails are worth protecting; they give the class away as well, and "
        "should be no input."
    ),
    cite="""@misc{vetter2024radomaniola,
  title = {Classification of freshwater snails of the genus Radomaniola with multimodal triplet
    networks},
  author = {Vetter, Dennis and Ahsan, Muhammad and Delicado, Diana and Neubauer, Thomas A. and
    Wilke, Thomas and Roig, Gemma},
  year = {2024},
  eprint = {2407.20013},
  archivePrefix = {arXiv}
}""",
)
