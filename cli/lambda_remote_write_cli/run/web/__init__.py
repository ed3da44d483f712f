"""`--web.listen-address`: /metrics, /-/healthy, /-/ready, /-/reload and a status page, as in Prometheus. It only reads
what the process knows; scraping and sending never wait for it."""
