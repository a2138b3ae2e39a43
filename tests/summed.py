"""The scores of `score.run`'s records."""

from vision_banana.evaluation import confidence, score, totals


def run(source, training, tasks, askers, **options):
    """Task name -> its score; see `score.run`."""
    records = score.run(source, training, tasks, askers, **options)
    beside = training is not None
    return totals.scores(confidence.metrics_of(tasks), records, list(askers), beside)
