"""Training, judging and reporting; knows no model and no data set."""
