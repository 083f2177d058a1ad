"""The report: one HTML file that shows a corpus, with no network, from its manifest, its shards and its recipe."""
