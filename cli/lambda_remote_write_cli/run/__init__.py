"""`pusher run`: the same work as a process of its own, without a schedule. Every source is scraped at its own interval
into a queue per endpoint; a sender per endpoint batches, retries and flushes at the end, as Prometheus does."""
