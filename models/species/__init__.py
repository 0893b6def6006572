"""Many species: several views, hierarchical transfer, answers of fitting depth (paper 001)."""

from models.about import About

ABOUT = About(
    intended=(
        "Naming organisms of many taxa on photographs as deep as the answer is sure: a species "
        "where it can, a genus or a family where it cannot."
    ),
    unsuited=(
        "Saying what may be eaten or touched; taxa that were not in the training data, which "
        "get the name of one that was; counting species where nobody looks at the answers."
    ),
    ethics=(
        "Photographs and observations belong to those who made them: keep their licences. Exact "
        "places of rare or hunted species can do harm when they are passed on. Common, well "
        "photographed taxa are answered better than others, so that figures over all hide the "
        "rare ones: see accuracy by class size."
    ),
    cite="""@inproceedings{mo2017species,
  title = {Large-scale automatic species identification},
  author = {Mo, Jeff and Frank, Eibe and Vetrova, Varvara},
  booktitle = {Australasian Joint Conference on Artificial Intelligence},
  year = {2017}
}""",
)
