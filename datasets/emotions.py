"""The seven emotions, in the index order of FER2013."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
