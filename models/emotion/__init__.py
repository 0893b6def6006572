"""Emotion from a face: its picture, its landmarks, and both fused (paper 004)."""

from models.about import About

ABOUT = About(
    intended=(
        "Research on how pictures and landmarks of a face complement one another, on "
        "collections such as FER2013 whose faces were labelled by people who looked at them."
    ),
    unsuited=(
        "Finding out what somebody feels; decisions about people, such as in hiring, schools, "
        "policing, medicine or at borders; faces of children or groups that the training data "
        "lack."
    ),
    ethics=(
        "What a face shows is not what a person feels, and the labels are the impressions of a "
        "few strangers. FER2013 was gathered from the web without the consent of those shown, "
        "and its ages, skin colours and cultures are uneven, so that errors are too: judge a "
        "run for each group before any use. The European Union forbids emotion recognition at "
        "work and in schools but for medical or safety reasons (Regulation 2024/1689, article "
        "5). Tell people when a face of theirs is read, and let them refuse."
    ),
    cite="""@techreport{kremer2021multimodal,
  title = {Learning Multimodal Information: Definition and Experimentation},
  author = {Kremer, Iris and Guelfi, Nicolas},
  institution = {University of Luxembourg},
  type = {Bachelor semester project},
  year = {2021}
}""",
)
