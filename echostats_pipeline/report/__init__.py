"""The listening report: reads its data, builds its text and numbers, draws its charts, writes one HTML file."""
