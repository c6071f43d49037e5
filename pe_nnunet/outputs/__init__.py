"""What a person or a pipeline gets for each case and for the cohort."""
