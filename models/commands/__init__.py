"""The verbs of the command line, one module each with a function `run(words)`."""

VERBS = {
    "train": "train a model, judge it and save the run (the default)",
    "evaluate": "judge a saved run, on its own data or on new data",
    "predict": "ask a saved run about pictures",
    "gather": "fetch pictures of species from GBIF, FishBase or FishPix",
    "data": "describe and audit a data set before training",
    "recipe": "make a table of a paper: theirs beside ours",
    "list": "models, data sets, recipes and saved runs",
}
