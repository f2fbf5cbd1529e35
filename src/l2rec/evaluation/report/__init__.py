"""`report.html`: one file that works offline and shows a comparison, its training and its lists to a person."""

from l2rec.evaluation.report.contents import Curve, Example, HeatMap, Listed, ReportData, Tabled
from l2rec.evaluation.report.log import TrainingLog, read_log
from l2rec.evaluation.report.page import page, write

__all__ = ["Curve", "Example", "HeatMap", "Listed", "ReportData", "Tabled", "TrainingLog", "page", "read_log", "write"]
