"""The report of an evaluation: one document, told in Markdown, JSON, CSV and HTML; timings in files of their own.

LAW-REPORT-1: but for the timings, the same sections give the same bytes; no clock, machine or path stands in them.
"""

from clawvm_es.evaluation.report.files import FILES, TIMINGS, write
from clawvm_es.evaluation.report.model import Part, Report, verdict

__all__ = ["FILES", "TIMINGS", "Part", "Report", "verdict", "write"]
