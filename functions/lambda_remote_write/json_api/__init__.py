"""A page of a JSON API -> samples: `pagination` makes the request for each page, `decode` reads its document, `mapping`
makes samples of records (`values` record by record, where one differs), and `reader` is all of it for one target.
"""
