"""Speed against the alternatives; each script prints a table and writes JSON. Not tests."""

import models  # noqa: F401 (chooses TensorFlow's convolutions, before it is imported)
