"""The verbs of the command line, one module each with a function `run(words)`."""

VERBS = {
    "train": "train a model, judge it and save the run (the default)",
    "compare": "do cross-validations, or runs on the same split, differ? Paired tests",
    "evaluate": "judge a saved run, on its own data or on new data",
    "predict": "ask a saved run about pictures or specimens",
    "embed": "write where a run places samples among one another to a table",
    "export": "write a run for ONNX Runtime, LiteRT or OpenVINO, checked and timed",
    "demo": "try a saved run on a page of this machine",
    "gather": "fetch pictures of species from GBIF, FishBase or FishPix",
    "data": "describe and audit a data set before training",
    "recipe": "make a table of a paper: theirs beside ours",
    "list": "models, data sets, recipes and saved runs",
}
