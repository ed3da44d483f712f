"""PromQL against the receiver of an endpoint."""
