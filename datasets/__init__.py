"""The data sets of the zoo by name, each imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module

from datasets.errors import InputError

DATASETS = {
    "faces": "datasets.synthetic.faces",
    "fer2013": "datasets.fer2013",
    "reef": "datasets.synthetic.reef",
    "organisms": "datasets.synthetic.organisms",
    "folders": "datasets.own_data",
    "snails": "datasets.synthetic.snails",
    "specimens": "datasets.specimens",
    "observations": "datasets.observations",
    "tracks": "datasets.tracks",
    "fma": "datasets.fma",
    "music": "datasets.synthetic.music",
}

SYNTHETIC = ("faces", "reef", "snails", "organisms", "music")


def load_table(
    name: str,
    data_dir: str | None,
    modalities: tuple[str, ...] | None,
    strict: bool = True,
    **told,
):
    """Read a data set.

    Args:
        name: one of `DATASETS`.
        data_dir: where the user's data lie; None for a synthetic set.
        modalities: what to read or compute for every sample, such as `image` and `landmarks`; of
            `observations` None for all pictures that the table names.
        strict: refuse labels that the data set does not know; else keep them as unknown.
        told: what else the data set asks for: of `specimens` and `observations` the `roles` of
            their columns, of `specimens` the `columns` of a trained run, of `tracks` the column of
            the `label`, and of `tracks` and `fma` the `rate` that all recordings are brought to and
            the `tasks` that are learnt.

    Returns:
        datasets.base.Table with these modalities.

    Raises:
        InputError: the data are missing, broken, or not in a known format.
    """
    load = import_module(DATASETS[name]).load
    if name in SYNTHETIC:
        if data_dir is not None:
            raise InputError(f"{name} is generated and reads no --data-dir: leave it out")
        return load()
    if not data_dir:
        raise InputError(f"{name} needs --data-dir: the folder where your data lie")
    return load(data_dir, modalities, strict, **told)
