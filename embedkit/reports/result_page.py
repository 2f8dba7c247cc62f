"""The page of each kind of result."""

import os
from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.errors import BadInput
from embedkit.reports.page import write_page
from embedkit.results import (
    Comparison,
    Duplicates,
    Evaluation,
    Matches,
    Predictions,
    ProgressCallback,
    Review,
    no_progress,
)
from embedkit.results.result import Result
from embedkit.workspace import Plan, Workspace


def write_result_page(
    path: str | os.PathLike[str], result: Result, progress: ProgressCallback = no_progress
) -> None:
    """Write a result as one HTML page.

    The page of duplicates shows the plan that :meth:`Workspace.clean` makes of them. Raises
    :class:`StorageError` if the file cannot be written.
    """
    target = Path(absolute(path))
    match result:
        case Matches():
            from embedkit.reports.search_page import write_search_page

            write_search_page(target, [result])
        case Predictions():
            from embedkit.reports.predictions_page import write_predictions_page

            write_predictions_page(target, result)
        case Comparison():
            from embedkit.reports.comparison_page import write_comparison_page

            write_comparison_page(target, result)
        case Evaluation():
            from embedkit.reports.evaluation_page import write_evaluation_page

            write_evaluation_page(target, result)
        case Review():
            from embedkit.reports.review_page import write_review_page

            write_review_page(target, result, progress)
        case Plan():
            from embedkit.reports.plan_page import write_plan_page

            workspace = Path(result.workspace)
            write_plan_page(target, result.rows, workspace=workspace, progress=progress)
        case Duplicates():
            from embedkit.reports.plan_page import write_plan_page

            if result.workspace is None:
                raise BadInput("the page needs the workspace of the duplicates, which is unknown")
            workspace = Path(result.workspace)
            rows = Workspace(workspace, progress).clean(duplicates=result).rows
            write_plan_page(target, rows, "Groups of duplicates", workspace, progress)
        case _:
            from embedkit.reports.notebook import notebook_html

            write_page(
                target,
                "result.html",
                title=type(result).__name__,
                fragment=notebook_html(result),
            )
