"""Backfill by hand: samples of a range of time, part by part, from an API, from files or from another server.

Read in this order:

    invoke      an event or a command line -> an answer
    request     what somebody asks for, checked              times: how they say when
    token       where it goes on                             keeping: the same in the state store
    run         the walk: read, judge, send, acknowledge     opening: what a request names; answer: what is told
    source      what all sources have in common
      api_source        a job's API, window by window
      file_source       files      files: found, unpacked, cut into lines; records: JSON and CSV; text: series
      server_source     another server that speaks Prometheus's query API
    endpoint_part  a part on its way to an endpoint          receiver: one endpoint: judged, sent, booked
    arrange     series by series, each time once
    judge       what a receiver takes late                   newest, workspace: what AMP says of that
    export      what is impossible, for promtool             widening: a longer out-of-order window
"""
