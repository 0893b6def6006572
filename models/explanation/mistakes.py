"""Why mistakes were made: what spoke for the answer, and what for the true class."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from models.explanation.pictures import picture_maps

WHOLE = "image"


@dataclass(frozen=True)
class ExplainedMistakes:
    """Maps of pictures that a network has just been judged on.

    Attributes:
        model: NNModel, trained, with its table.
    """

    model: object

    def maps(self, row: int, targets: list[int]) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """A picture as the network gets it, and where it speaks for each of these classes.

        Args:
            row: of the table.
            targets: indices of classes.

        Returns:
            (height, width, channels) 0 to 255, and a (rows, columns) map for each class, of the
            whole picture; None where there is no picture, or the backend has no slopes of layers.
        """
        model = self.model
        sees = WHOLE in {record.name for record in model.inputs}
        if not sees or keras.backend.backend() != "tensorflow":
            return None
        arrays = model.fitted(model.table.take(np.array([row])))
        arrays = {name: np.asarray(array[:1]) for name, array in arrays.items()}
        found = [picture_maps(model.model, model.anatomy, arrays, target) for target in targets]
        return arrays[WHOLE][0], [maps[0].heat for maps in found]
