"""The dashboards of the chart, written from what stands here: ``python -m tools.dashboards`` (docs/dashboards.md)."""
