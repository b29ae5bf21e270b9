"""The report of an evaluation: one document, rendered as Markdown, JSON, CSV and HTML; timings have files of their
own.

LAW-REPORT-1: except for timings, the same sections give the same bytes; they contain no clock, machine or path.
"""

from clawvm_es.evaluation.report.files import FILES, TIMINGS, write
from clawvm_es.evaluation.report.model import Part, Report, verdict

__all__ = ["FILES", "TIMINGS", "Part", "Report", "verdict", "write"]
