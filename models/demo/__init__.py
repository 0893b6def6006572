"""A page on which a saved run is tried: `run.py demo`. Gradio is imported by `page` alone."""
