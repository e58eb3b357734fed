"""What a report looks like: charts, page, style. What it says is `transforms.report`; nothing here reads or fetches."""
