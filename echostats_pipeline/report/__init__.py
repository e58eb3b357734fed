"""What a report looks like: charts, page, style. What it says is `report.build`; nothing here reads or fetches."""
