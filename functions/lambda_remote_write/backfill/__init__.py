"""Backfill on request: sends the samples of a time range, part by part, from an API, from files or another server.

Read in this order:

    invoke      an event or a command line -> an answer
    request     what the caller asks for, validated          times: the ways to write a time
    checkpoint  where the backfill continues                 checkpoint_store: the same in the state store
    run         the loop: read, check, send, acknowledge     setup: opens what a request names
    answer      counts, one row for each part, notes
    source      what all sources have in common              span: a time range, window by window
      api_source        a job's API
      server_source     another server with Prometheus's query API
      file_source       files      files: found, decompressed, cut into lines; json_records: JSON and CSV; text_records
    endpoint_part  one part on its way to one endpoint       receiver: one endpoint: checks, sends, counts
    sort        series by series, each time once
    acceptance  which late samples a receiver accepts        newest_samples, workspace: what AMP says about that
    export      impossible samples as a file for promtool    out_of_order_window: widens it while the backfill runs
"""
