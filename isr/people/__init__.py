"""People's labels: taken in, planned, collected on a page, compared with judges, used to correct a rate."""
