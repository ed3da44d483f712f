"""A page of a JSON API -> samples: `decode` reads the document, `pagination` makes the request for the next page,
`mapping` makes samples of records, and `reader` is the three for one job.
"""
