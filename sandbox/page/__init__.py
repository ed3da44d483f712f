"""The demo's page: a world of which a browser runs the minutes, with charts of what has arrived."""
