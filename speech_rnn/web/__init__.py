"""A model as one page that listens in a browser: no server, no network, nothing sent."""
