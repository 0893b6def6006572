"""Results -> PNG figures and CSV tables; the only importer of matplotlib and seaborn.

Every figure is drawn on a `Figure` of its own, which saves PNG by way of Agg. Nothing goes through
the global state of pyplot, so no display is needed, no figure stays open and the backend of a
notebook that calls this package is left alone.
"""

from training.reports.artists import plot_artist_map, plot_group_members
from training.reports.certainty import (
    plot_hierarchical_coverage,
    plot_reliability,
    plot_risk_coverage,
    plot_scores,
)
from training.reports.confusion import (
    KINDS,
    confusion_figure,
    confusion_texts,
    confusion_values,
    plot_confusion,
)
from training.reports.counts import plot_class_counts
from training.reports.curves import CURVES, plot_comparison, plot_history
from training.reports.drawing import MAX_SIDE, PALETTE, contrast, text_colour
from training.reports.explanations import (
    Bars,
    HeardSound,
    Near,
    SeenFace,
    SeenPicture,
    Sheet,
    plot_explanation,
)
from training.reports.folds import plot_fold_accuracies
from training.reports.importances import plot_importances
from training.reports.pictures import (
    plot_mistake_maps,
    plot_mistakes,
    plot_pairs,
    plot_samples,
)
from training.reports.specificity import plot_depth_by_target, plot_shares
from training.reports.tables import write_classification_report, write_confusion_csv
from training.reports.trends import plot_trends

__all__ = [
    "CURVES",
    "KINDS",
    "MAX_SIDE",
    "PALETTE",
    "Bars",
    "HeardSound",
    "Near",
    "SeenFace",
    "SeenPicture",
    "Sheet",
    "confusion_figure",
    "confusion_texts",
    "confusion_values",
    "contrast",
    "plot_artist_map",
    "plot_class_counts",
    "plot_comparison",
    "plot_confusion",
    "plot_depth_by_target",
    "plot_explanation",
    "plot_fold_accuracies",
    "plot_group_members",
    "plot_hierarchical_coverage",
    "plot_history",
    "plot_importances",
    "plot_mistake_maps",
    "plot_mistakes",
    "plot_pairs",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_samples",
    "plot_scores",
    "plot_shares",
    "plot_trends",
    "text_colour",
    "write_classification_report",
    "write_confusion_csv",
]
