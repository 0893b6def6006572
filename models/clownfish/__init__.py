"""Species from photographs, two networks (paper 003)."""

from models.about import About

ABOUT = About(
    intended=(
        "Sorting photographs of a few species that look alike, of which a few hundred pictures "
        'each are there, with the answer "none of these" where it is not sure.'
    ),
    unsuited=(
        "Evidence of a species' presence without a look by somebody who knows it; species that "
        "were not in the training data, of which many are taken for one that was."
    ),
    ethics=(
        "Photographs belong to those who took them: keep their licences with the pictures, as "
        "`gather` does. Exact places of rare species in a picture's metadata can help those who "
        "catch them; take them out before you pass pictures on."
    ),
    cite="""@techreport{jequier2018clownfish,
  title = {Automatically classifying clownfish pictures datasets at the species level},
  author = {Jequier, L\\'eonard},
  institution = {University of Lausanne},
  year = {2018}
}""",
)
