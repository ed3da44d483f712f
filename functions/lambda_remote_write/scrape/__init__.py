"""ACT 1: outside -> samples. `collect` asks every due source: a JSON API (`json_api`) or a target's page (`scrape`)."""
